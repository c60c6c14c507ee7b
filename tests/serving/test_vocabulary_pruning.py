"""Models with the vocabulary of a domain."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest
from models import random_model, write_student
from scripts import run_script

from common.errors import UserError
from modeling.tokenization import FullTokenizer
from serving import Predictor
from serving.comparison import encoded_rows, model_outputs
from serving.vocabulary_pruning import changed_tokens, pruned_model


def test_texts_of_the_domain_keep_their_outputs(
    tmp_path: pathlib.Path, odd_vocab_file: str
) -> None:
    whole = random_model(odd_vocab_file)
    texts = ["The unaffable a.", "b c the"]
    model = pruned_model(whole, texts, str(tmp_path / "vocab.txt"))
    kept = model.tokenizer.tokens
    assert kept[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert kept[5:] == ["un", "##aff", "##able", "the", "a", "b", "c", ".", "σ", "ς"]
    rows = [(text, None) for text in texts]
    expected = model_outputs(whole, encoded_rows(whole, rows))
    found = model_outputs(model, encoded_rows(model, rows))
    np.testing.assert_array_equal(found, expected)
    assert changed_tokens(whole.tokenizer, model.tokenizer, rows) == 0
    # "naive" is a word of the whole vocabulary alone.
    others = [("naive naive the", "a"), ("b", None)]
    assert changed_tokens(whole.tokenizer, model.tokenizer, others) == pytest.approx(40)


def test_export(tmp_path: pathlib.Path, odd_vocab_file: str) -> None:
    model = random_model(odd_vocab_file, ("no", "yes"))
    student = write_student(tmp_path / "student", model)
    (tmp_path / "domain.txt").write_text("the unaffable a.\n")
    (tmp_path / "held_out.txt").write_text("the a\nb a unaffable\n")
    flags = {"input_path": student, "formats": "onnx", "quantization": "none", "measure": False}
    flags["keep_vocabulary_of"] = str(tmp_path / "domain*.txt")
    with pytest.raises(UserError, match="keep_vocabulary_of=.* has no effect without --task_name"):
        run_script("export_model", **flags, output_dir=tmp_path / "x")
    run_script(
        "export_model", **flags, eval_file=tmp_path / "held_out.txt", output_dir=tmp_path / "out"
    )
    files = json.loads((tmp_path / "out" / "export_report.json").read_text())["files"]
    assert [entry["path"] for entry in files] == ["model", "onnx/model.onnx"]
    assert [entry["comparison"]["agreement"] for entry in files] == [100, 100]
    assert "has 15 of 99 entries" in (tmp_path / "out" / "export_report.md").read_text()
    tokenizer = FullTokenizer(str(tmp_path / "out" / "vocab.txt"))
    assert tokenizer.vocab_size == 15
    folder = Predictor.load(str(tmp_path / "out" / "model"))
    whole = Predictor.load(student)
    np.testing.assert_allclose(folder.logits(["the a"]), whole.logits(["the a"]), atol=1e-6)
