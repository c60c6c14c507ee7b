"""Metadata in a LiteRT file, in the form that MediaPipe's text classifier reads.

With it `mediapipe.tasks.python.text.TextClassifier` (and its siblings for Android, iOS and the web)
takes the file alone and raw text: the vocabulary and the labels are in it, as a ZIP archive behind
the program (`unzip -l model.tflite`), which LiteRT itself ignores.

Source: `metadata_schema.fbs` and `bert_preprocessor.cc` of google-ai-edge/mediapipe; numbers below
are those of the schema. Their own writer cannot be imported in release 1.2.2.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from typing import Any

from classification.predictions import LABELS_FILE, label_lines
from modeling.bert import INPUTS
from modeling.vocabulary import VOCAB_FILE
from modeling.wordpiece import SPECIAL_TOKENS
from serving.trained_model import TrainedModel

_ENTRY, _IDENTIFIER, _MIN_PARSER_VERSION = "TFLITE_METADATA", b"M001", "1.1.0"
_BERT_TOKENIZER_OPTIONS, _LABELS, _VOCABULARY = 4, 2, 5
# MediaPipe's names of our inputs.
_TENSOR_NAMES = dict(zip(INPUTS, ("ids", "mask", "segment_ids"), strict=True))


def reason_against(model: TrainedModel) -> str | None:
    """Reason that MediaPipe's text classifier would treat a model wrongly; None for none.

    It lower-cases, but leaves accents where they are: such words of a model that strips them are
    [UNK] there, unless the text is normalized before.
    """
    tokenizer = model.tokenizer
    if not model.has_classifier:
        return "it classifies, and the model is an encoder"
    if model.is_regression:
        return "it returns classes, and the model is a regression"
    if model.pairs:
        return "it takes single texts, and the model takes pairs"
    if not tokenizer.do_lower_case:
        return "it lower-cases every text, and the model is cased"
    if not tokenizer.settings.tokenize_chinese_chars:
        return "it splits CJK ideographs, and the model's tokenizer does not"
    if tokenizer.settings.special_tokens != SPECIAL_TOKENS:
        return f"its special tokens are {' '.join(SPECIAL_TOKENS)}, and the model's are others"
    return None


def with_metadata(content: bytes, model: TrainedModel) -> bytes:
    """A LiteRT file of a model with its labels, vocabulary and kind of tokenizer in it.

    Args:
      content: The file, with one signature.
      model: A model without a `reason_against`.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    program = schema.ModelT.InitFromPackedBuf(content)
    (graph,) = program.subgraphs
    (signature,) = program.signatureDefs
    name_of_tensor = {item.tensorIndex: _text(item.name) for item in signature.inputs}
    inputs = [_TENSOR_NAMES[name_of_tensor[index]] for index in graph.inputs]
    buffer = schema.BufferT()
    buffer.data = list(_metadata(inputs, model.max_seq_length))
    entry = schema.MetadataT()
    entry.name, entry.buffer = _ENTRY, len(program.buffers)
    program.buffers.append(buffer)
    program.metadata = [*(program.metadata or ()), entry]
    # Nothing asks for the names of what is computed on the way; they are half a percent of Tiny.
    for index in {*range(len(graph.tensors))} - {*graph.inputs} - {*graph.outputs}:
        graph.tensors[index].name = None
    builder = flatbuffers.Builder(len(content) + (1 << 20))
    builder.Finish(program.Pack(builder), file_identifier=b"TFL3")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as files:
        for name, lines in (
            (VOCAB_FILE, "".join(f"{token}\n" for token in model.tokenizer.tokens)),
            (LABELS_FILE, label_lines(model.labels)),
        ):
            # The same bytes whenever it is written.
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            files.writestr(info, lines)
    return bytes(builder.Output()) + archive.getvalue()


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name


def _metadata(inputs: Sequence[str], max_seq_length: int) -> bytes:
    """A `ModelMetadata`."""
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    vocabulary = _file(builder, VOCAB_FILE, _VOCABULARY)
    options = _table(builder, 2, {0: _vector(builder, [vocabulary])})
    unit = _table(builder, 2, {1: options}, {0: _BERT_TOKENIZER_OPTIONS})
    tensors = [_table(builder, 7, {0: builder.CreateString(name)}) for name in inputs]
    labels = _vector(builder, [_file(builder, LABELS_FILE, _LABELS)])
    output = _table(builder, 7, {0: builder.CreateString("probability"), 6: labels})
    graph = _table(
        builder,
        9,
        {
            2: _vector(builder, tensors),
            3: _vector(builder, [output]),
            5: _vector(builder, [unit]),
        },
    )
    model = _table(
        builder,
        8,
        {
            0: builder.CreateString("BERT text classifier"),
            1: builder.CreateString(
                f"Ids of lower-cased WordPieces in, probabilities out; at most {max_seq_length} "
                "tokens with [CLS] and [SEP]."
            ),
            3: _vector(builder, [graph]),
            7: builder.CreateString(_MIN_PARSER_VERSION),
        },
    )
    builder.Finish(model, file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def _file(builder: Any, name: str, kind: int) -> int:
    """An `AssociatedFile`."""
    return _table(builder, 5, {0: builder.CreateString(name)}, {2: kind})


def _table(
    builder: Any, slots: int, offsets: dict[int, int], numbers: dict[int, int] | None = None
) -> int:
    """A table of the schema with some of its slots filled; numbers are of one byte."""
    builder.StartObject(slots)
    for slot, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    for slot, number in (numbers or {}).items():
        builder.PrependUint8Slot(slot, number, 0)
    return builder.EndObject()


def _vector(builder: Any, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()
