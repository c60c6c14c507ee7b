"""Exported programs, each run by its own runtime: LiteRT, ONNX Runtime or TensorFlow.

Part of an exported model: nothing but the standard library and NumPy is imported here, and a runtime
only when one of its files is opened.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

# Of the outputs of a program, the one that is returned: the first of these that it has.
_OUTPUTS = ("probabilities", "score", "logits", "pooled_output", "pooler_output")

# int32 input_ids, input_mask, segment_ids [batch_size, seq_length] -> float32 [batch_size, ...].
_Run = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Program:
    """A program as a function of `input_ids`, `input_mask` and `segment_ids`.

    Attributes:
      run: The function.
      longest: Most tokens of a row; None where the model alone says how many.
    """

    run: _Run
    longest: int | None = None

    def __call__(self, ids: np.ndarray, mask: np.ndarray, segments: np.ndarray) -> np.ndarray:
        """Outputs, float32 [batch_size, ...], of inputs int32 [batch_size, seq_length].

        Raises:
          ValueError: The rows have more than `longest` tokens.
        """
        return self.run(ids, mask, segments)


def open_program(path: str, threads: int | None = None) -> Program:
    """Loads a program; one thread at a time may call it.

    Args:
      path: A `.tflite` or `.onnx` file, or the folder of a SavedModel.
      threads: Number of threads to compute with; None for all cores. TensorFlow takes the first
        number that it is given in a process.

    Returns:
      A function of `input_ids`, `input_mask` and `segment_ids`, int32 [batch_size, seq_length], that
      returns probabilities [batch_size, num_labels], the scores of a regression [batch_size, 1], or
      the vectors of an encoder [batch_size, hidden_size].

    Raises:
      ValueError: There is no such file, or it is none of these.
    """
    threads = threads or os.cpu_count() or 1
    if not os.path.exists(path):
        raise ValueError(f"there is no {path}")
    if path.endswith(".tflite"):
        return _open_litert(path, threads)
    if path.endswith(".onnx"):
        return _open_onnx(path, threads)
    if not os.path.isdir(path):
        raise ValueError(f"{path} is no .tflite or .onnx file and no folder of a SavedModel")
    return _open_saved_model(path, threads)


def _open_litert(path: str, threads: int) -> Program:
    interpreter = open_interpreter(threads, model_path=path)
    signatures = interpreter.get_signature_list()
    name = _output(next(iter(signatures.values()))["outputs"])
    if "serve" in signatures:
        serve = interpreter.get_signature_runner("serve")

        def run(ids: np.ndarray, mask: np.ndarray, segments: np.ndarray) -> np.ndarray:
            return serve(input_ids=ids, input_mask=mask, segment_ids=segments)[name]

        return Program(run)
    # Static shapes: one row of len_32, len_64, ... tokens.
    runners = {
        int(key.removeprefix("len_")): interpreter.get_signature_runner(key) for key in signatures
    }

    longest = max(runners)

    def run_rows(ids: np.ndarray, mask: np.ndarray, segments: np.ndarray) -> np.ndarray:
        wanted = ids.shape[1]
        if wanted > longest:  # To cut a row here would take its [SEP], and perhaps a second text.
            raise ValueError(f"{path} takes rows of {longest} tokens at most, found {wanted}")
        length = min(x for x in runners if x >= wanted)
        padding = ((0, 0), (0, length - wanted))
        inputs = [np.pad(value, padding) for value in (ids, mask, segments)]
        rows = []
        for i in range(len(ids)):
            row = [value[i : i + 1] for value in inputs]
            found = runners[length](input_ids=row[0], input_mask=row[1], segment_ids=row[2])
            rows.append(found[name])
        return np.concatenate(rows)

    return Program(run_rows, longest)


def open_interpreter(threads: int, **source: Any) -> Any:
    """LiteRT's interpreter of a file (`model_path`) or of its bytes (`model_content`)."""
    from ai_edge_litert.interpreter import Interpreter

    with _without_notes():
        interpreter = Interpreter(**source, num_threads=threads)
        interpreter.allocate_tensors()
    return interpreter


@contextlib.contextmanager
def _without_notes() -> Iterator[None]:
    """Keeps what LiteRT's C++ notes by "INFO:" off the standard error; no setting of it does."""
    with contextlib.ExitStack() as stack:
        try:
            written = stack.enter_context(tempfile.TemporaryFile())
            stderr = os.dup(2)
        except OSError:  # There is no place for a file, or no standard error.
            yield
            return
        os.dup2(written.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            written.seek(0)
            others = [line for line in written if not line.startswith(b"INFO:")]
            os.write(2, b"".join(others))


def _open_onnx(path: str, threads: int) -> Program:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = _output([output.name for output in session.get_outputs()])

    def run(ids: np.ndarray, mask: np.ndarray, segments: np.ndarray) -> np.ndarray:
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": segments}
        wide = {key: value.astype(np.int64) for key, value in inputs.items()}
        (found,) = session.run([name], wide)
        return softmax(found) if name == "logits" and found.shape[1] > 1 else found

    return Program(run)


def _open_saved_model(path: str, threads: int) -> Program:
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:  # TensorFlow computes in this process already.
        pass
    import tensorflow_text  # noqa: F401, the operations of the tokenizer

    loaded = tf.saved_model.load(path)
    if "ids" in loaded.signatures:
        serve = loaded.signatures["ids"]
        names = ("input_ids", "input_mask", "segment_ids")
    else:  # An encoder, with the names of TF-Hub.
        serve = loaded.signatures["serving_default"]
        names = ("input_word_ids", "input_mask", "input_type_ids")
    name = _output(list(serve.structured_outputs))

    def run(ids: np.ndarray, mask: np.ndarray, segments: np.ndarray) -> np.ndarray:
        tensors = [tf.constant(value, tf.int32) for value in (ids, mask, segments)]
        found = serve(**dict(zip(names, tensors, strict=True)))[name].numpy()
        return found[:, np.newaxis] if found.ndim == 1 else found

    run.loaded = loaded  # type: ignore[attr-defined]  # Its variables live as long as it does.
    return Program(run)


def _output(names: Any) -> str:
    return next(name for name in _OUTPUTS if name in names)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of logits [..., num_labels]."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)
