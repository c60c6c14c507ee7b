"""A Hugging Face classifier as the ONNX files that PyTorch's exporter and ONNX Runtime make of it.

They compute the last layer at every position, and are quantized as Optimum does by default for these
processors: weights by channel, activations on the fly. For `benchmarks.export_speed
--onnx_peer_dir`; in an environment with torch, transformers, onnx, onnxscript and onnxruntime:
  python benchmarks/peers/onnx_export.py --model=tiny_hf --output_dir=tiny_onnx
"""

from __future__ import annotations

import argparse
import os

import onnxruntime.quantization
import torch
import transformers

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="folder of Hugging Face's form")
    parser.add_argument("--output_dir", required=True)
    args = parser.parse_args()
    os.makedirs(args.output_dir, exist_ok=True)
    model = transformers.BertForSequenceClassification.from_pretrained(args.model).eval()
    ids = torch.full([2, 16], 5)
    example = (ids, torch.ones_like(ids), torch.zeros_like(ids))
    path = os.path.join(args.output_dir, "model.onnx")
    axes = {name: {0: "batch", 1: "length"} for name in INPUTS}
    torch.onnx.export(
        model,
        example,
        path,
        input_names=list(INPUTS),
        output_names=["logits"],
        dynamic_axes={**axes, "logits": {0: "batch"}},
        opset_version=17,
        dynamo=False,
    )
    onnxruntime.quantization.quantize_dynamic(
        path, os.path.join(args.output_dir, "model_quantized.onnx"), per_channel=True
    )


if __name__ == "__main__":
    main()
