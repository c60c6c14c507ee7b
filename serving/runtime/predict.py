"""Labels and probabilities of texts, by the model in this folder.

  python predict.py "a film that never drags"
A line of JSON for each line of a file; of a pair model, the two texts are separated by a tab:
  python predict.py < texts.txt > predictions.jsonl
From Python:
  from predict import Classifier
  Classifier("shipped").predict(["a film that never drags"])
"""

from __future__ import annotations

import argparse
import codecs
import json
import os
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from programs import open_program
from wordpiece import TokenizerSettings, WordPieceTokenizer, input_row

HERE = os.path.dirname(os.path.abspath(__file__))


class Classifier:
    """The model in a folder that `export_model.py` has made. Threads may share it.

    Attributes:
      info: The content of `model.json`.
      labels: Of the classifier, in the order of its outputs; none of a regression or encoder.
      pairs: Whether an input is a pair of texts.
    """

    def __init__(self, folder: str = HERE, model: str | None = None, threads: int | None = 1):
        """Loads the model.

        Args:
          folder: The folder.
          model: A `.tflite` or `.onnx` file in it; None for the one that `model.json` names.
          threads: Number of threads to compute with; None for all cores.

        Raises:
          ValueError: There is no such file.
        """
        with open(os.path.join(folder, "model.json"), encoding="utf-8") as file:
            self.info: dict[str, Any] = json.load(file)
        # Whatever a copy has made of the line ends.
        with open(os.path.join(folder, "vocab.txt"), encoding="utf-8-sig", newline="\n") as file:
            tokens = [line.strip() for line in file]
        settings = dict(self.info["tokenizer_settings"])
        if "special_tokens" in settings:
            settings["special_tokens"] = tuple(settings["special_tokens"])
        self.tokenizer = WordPieceTokenizer(
            tokens, self.info["do_lower_case"], TokenizerSettings(**settings)
        )
        self.labels: list[str] = self.info["labels"]
        self.pairs: bool = self.info["pairs"]
        self._program = open_program(os.path.join(folder, model or self.info["file"]), threads)
        length: int = self.info["max_seq_length"]
        self._length = min(length, self._program.longest or length)
        self._lock = threading.Lock()

    def predict(self, inputs: Sequence[str | Sequence[str]]) -> list[dict[str, Any]]:
        """The answers for texts, or for pairs of texts, in their order.

        Args:
          inputs: Strings, or two strings each of a pair model.

        Returns:
          Of a classifier `{"label": "positive", "probabilities": [0.1, 0.9]}`, of a regression
          `{"score": 2.5}`, of an encoder `{"pooled_output": [...]}`.

        Raises:
          ValueError: An input is something else.
        """
        return [self._answer(self.outputs(*self._texts(value))) for value in inputs]

    def outputs(self, text_a: str, text_b: str | None = None) -> np.ndarray:
        """Outputs of the program for a text or a pair, float32 [num_outputs]."""
        ids_b = self.tokenizer.encode(text_b) if text_b else []
        row, first = input_row(self.tokenizer, self.tokenizer.encode(text_a), ids_b, self._length)
        ids = np.array([row], np.int32)
        segments = (np.arange(len(row), dtype=np.int32) >= first).astype(np.int32)[np.newaxis]
        with self._lock:  # LiteRT's interpreter may not be called by two threads.
            return self._program(ids, np.ones_like(ids), segments)[0]

    def _texts(self, value: Any) -> Sequence[str]:
        if isinstance(value, str) and not self.pairs:
            return [value]
        if self.pairs and isinstance(value, (list, tuple)) and list(map(type, value)) == [str, str]:
            return value
        wanted = "two strings" if self.pairs else "a string"
        raise ValueError(f"found {json.dumps(value, default=str):.60}, expected {wanted}")

    def _answer(self, values: np.ndarray) -> dict[str, Any]:
        if self.labels:
            label = self.labels[int(values.argmax())]
            return {"label": label, "probabilities": [float(f"{p:.6g}") for p in values]}
        if self.info["output"] == "score":
            return {"score": float(values[0])}
        return {self.info["output"]: values.tolist()}


def open_classifier(model: str | None, threads: int) -> Classifier:
    """`Classifier` for a command line: what is wrong with its flags ends the process with a line."""
    try:
        return Classifier(model=model, threads=threads)
    except ValueError as error:
        found = [os.path.join(at, name) for at, _, names in os.walk(HERE) for name in names]
        files = sorted(os.path.relpath(x, HERE) for x in found if x.endswith((".tflite", ".onnx")))
        flag = f"--model={model}: " if model else ""
        sys.exit(f"ERROR: {flag}{error}; this folder has {', '.join(files) or 'no model'}.")
    except ImportError as error:
        package = (error.name or "").partition(".")[0].replace("_", "-")
        sys.exit(f"ERROR: {model or 'the model'} needs a package ({error}); pip install {package}.")


def read_lines(file: Iterable[bytes]) -> Iterator[str]:
    """The lines of UTF-8 text without their ends; another byte ends the process with a message."""
    offset = 0
    for number, line in enumerate(file, 1):
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            is_utf_16 = not offset and line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
            sys.exit(
                f"ERROR: line {number}: byte {offset + error.start} of the input "
                f"(0x{line[error.start]:02x}) is not valid UTF-8; convert it, for example with "
                f"`iconv -f {'utf-16' if is_utf_16 else 'latin1'} -t utf-8`."
            )
        yield (text if offset else text.removeprefix("\ufeff")).rstrip("\n").removesuffix("\r")
        offset += len(line)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("texts", nargs="*", help="texts; by default the lines of the input")
    parser.add_argument("--model", help="file of this folder to run, by default that of model.json")
    parser.add_argument("--threads", type=int, default=1, help="threads to compute with")
    arguments = parser.parse_args()
    classifier = open_classifier(arguments.model, arguments.threads)
    lines = map(os.fsencode, arguments.texts) if arguments.texts else sys.stdin.buffer
    for number, text in enumerate(read_lines(lines), 1):
        try:
            (answer,) = classifier.predict([text.split("\t", 1) if classifier.pairs else text])
        except ValueError as error:
            hint = ", separated by a tab" if classifier.pairs else ""
            sys.exit(f"ERROR: text {number}: {error}{hint}.")
        print(json.dumps(answer, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
