"""The architecture of a BERT model: `bert_config.json` and the paper's named sizes.

Sources: `BertConfig` in google-research/bert `modeling.py`; Turc et al. (2019), Table 1 and section 5
(24 students: L in {2, 4, ..., 12}, H in {128, 256, 512, 768}, H/64 heads, feed-forward size 4H).
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
import sys
from collections.abc import Mapping
from typing import Any

from common.errors import UserError
from common.files import exists, read_json

CONFIG_FILE = "bert_config.json"

STUDENT_DEPTHS = (2, 4, 6, 8, 10, 12)
STUDENT_WIDTHS = (128, 256, 512, 768)
# The uncased English WordPiece vocabulary of the released models.
DEFAULT_VOCAB_SIZE = 30522

# Names used by the paper (section 5) and the release notes of the miniatures.
NAMED_SIZES: dict[str, tuple[int, int]] = {
    "tiny": (2, 128),
    "mini": (4, 256),
    "small": (4, 512),
    "medium": (8, 512),
    "base": (12, 768),
    "large": (24, 1024),
}

# What else is a name of a size: L/H, L/H/A, and folders of the release.
_SIZE = r"([1-9]\d*)/([1-9]\d*)(?:/([1-9]\d*))?"
_FOLDER = r"(?:uncased_)?L-([1-9]\d*)_H-([1-9]\d*)(?:_A-([1-9]\d*))?"
_HEAD_WIDTH = 64

# Word in `hidden_act` -> the function it stands for. "gelu" is the tanh approximation, as in
# google-research/bert since February 2019; the exact form, which Hugging Face calls "gelu", is
# "gelu_erf" here.
ACTIVATION_FUNCTIONS = {
    "gelu": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_erf": "gelu_erf",
    "relu": "relu",
    "tanh": "tanh",
    "linear": "linear",
}


# Keys that the original's files do not have, because they are constants of its code.
_ORIGINALS_CONSTANTS = ("layer_norm_eps", "classifier_dropout")
# What every model here computes: a configuration with another value is for another function. Keys
# of Hugging Face, of adapter libraries, and of relatives of BERT with the same file.
_FIXED: dict[str, tuple[Any, ...]] = {
    "model_type": ("bert",),
    "is_decoder": (False,),
    "is_encoder_decoder": (False,),
    "add_cross_attention": (False,),
    "position_embedding_type": ("absolute",),
    "tie_word_embeddings": (True,),
    "pruned_heads": ({}, []),
    "quantization_config": (),
    "adapters": ({},),
    "auto_map": ({},),
    "num_hidden_groups": (1,),
    "norm_first": (False,),
}


@dataclasses.dataclass(frozen=True)
class BertConfig:
    """Architecture and initialization of a BERT model.

    Attributes:
      vocab_size: Number of WordPiece entries, V.
      hidden_size: Width of the encoder, H.
      num_hidden_layers: Number of Transformer layers, L.
      num_attention_heads: Number of heads, A; A must divide H.
      intermediate_size: Width of the feed-forward layer, I.
      hidden_act: One of `ACTIVATION_FUNCTIONS`.
      hidden_dropout_prob: Dropout rate of embeddings and layer outputs.
      attention_probs_dropout_prob: Dropout rate of the attention probabilities.
      max_position_embeddings: Longest sequence the model has positions for.
      type_vocab_size: Number of segment (token type) embeddings.
      initializer_range: Standard deviation of the truncated normal initializer.
      layer_norm_eps: Added to the variance in layer normalization; the original's is 1e-12.
      classifier_dropout: Dropout rate of a classifier's input; the original's is 0.1.
      extra: Keys of a `bert_config.json` that do not change the model (`directionality`, ...); they
        are kept so that writing the file again loses nothing.
    """

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    classifier_dropout: float = 0.1
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def head_size(self) -> int:
        return self.hidden_size // self.num_attention_heads

    def with_dropout(self, rate: float) -> BertConfig:
        """The same architecture with one rate for all dropout, 0 for none."""
        return dataclasses.replace(
            self,
            hidden_dropout_prob=rate,
            attention_probs_dropout_prob=rate,
            classifier_dropout=rate,
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "BertConfig") -> BertConfig:
        """Checks and converts the content of a `bert_config.json`.

        Every key that changes the function a model computes is required: the original's class
        defaults (a `type_vocab_size` of 16 among them) differ from those of the released models, so
        a missing key would silently build another model.

        Raises:
          UserError: A key is missing, misspelt, of the wrong type or out of range.
        """
        known = {f.name: f for f in dataclasses.fields(cls) if f.name != "extra"}
        may_be_absent = {
            "hidden_dropout_prob",
            "attention_probs_dropout_prob",
            "initializer_range",
            *_ORIGINALS_CONSTANTS,
        }
        check_same_architecture(values, source)
        values = {
            key: value
            for key, value in values.items()
            if not (key in _ORIGINALS_CONSTANTS and value is None)
        }
        unknown = [key for key in values if key not in known]
        for key in known:
            if key in values:
                continue
            misspelt = difflib.get_close_matches(key, unknown, n=1, cutoff=0.8)
            if misspelt:
                raise UserError(
                    f'{source}: unknown key "{misspelt[0]}" while "{key}" is missing; is it misspelt?'
                )
            if key not in may_be_absent:
                raise UserError(
                    f'{source}: key "{key}" is missing; it changes the model, so add it.'
                )
        fields = {key: values[key] for key in known if key in values}
        for key, value in fields.items():
            fields[key] = _checked_value(source, key, value, known[key].type)
        config = cls(**fields, extra={key: values[key] for key in unknown})
        if config.hidden_size % config.num_attention_heads:
            raise UserError(
                f"{source}: hidden_size {config.hidden_size} is not a multiple of "
                f"num_attention_heads {config.num_attention_heads}; heads must have a whole size."
            )
        if config.hidden_act not in ACTIVATION_FUNCTIONS:
            raise UserError(
                f'{source}: hidden_act "{config.hidden_act}" is not one of '
                f"{', '.join(ACTIVATION_FUNCTIONS)}."
            )
        return config

    def to_dict(self) -> dict[str, Any]:
        """The keys of a `bert_config.json`; constants of the original only where they differ."""
        values = dataclasses.asdict(self)
        for field in dataclasses.fields(self):
            if field.name in _ORIGINALS_CONSTANTS and values[field.name] == field.default:
                del values[field.name]
        return {**values.pop("extra"), **values}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    def num_parameters(self, with_heads: bool = False) -> int:
        """Exact number of weights of encoder and pooler, optionally with the MLM and NSP heads.

        Table 1(a) of the paper counts the heads in. The MLM decoder is tied to the word embeddings.
        """
        v, h, i = self.vocab_size, self.hidden_size, self.intermediate_size
        embeddings = (v + self.type_vocab_size + self.max_position_embeddings) * h + 2 * h
        attention = 4 * (h * h + h) + 2 * h
        feed_forward = (h * i + i) + (i * h + h) + 2 * h
        pooler = h * h + h
        total = embeddings + self.num_hidden_layers * (attention + feed_forward) + pooler
        if with_heads:
            masked_lm = (h * h + h) + 2 * h + v
            next_sentence = 2 * h + 2
            total += masked_lm + next_sentence
        return total


def check_same_architecture(values: Mapping[str, Any], source: str) -> None:
    """Raises a UserError where a key says that the model is no plain BERT encoder."""
    expected = {**_FIXED, "embedding_size": (values.get("hidden_size"),)}
    for key, ours in expected.items():
        adapters = values.get(key)
        found = adapters
        if key == "adapters" and isinstance(adapters, dict):
            found = adapters.get("adapters", adapters)
        if found is not None and found not in ours:
            here = f"models here have {json.dumps(ours[0])}" if ours else "models here have none"
            raise UserError(
                f"{source}: {key} is {json.dumps(found):.60}, {here}; this is another architecture, "
                "which cannot be used or converted."
            )


def _checked_value(source: str, key: str, value: Any, annotation: Any) -> Any:
    """Returns `value` as the field's type, or raises a UserError that names key and value."""
    if annotation == "str":
        if not isinstance(value, str):
            raise UserError(f'{source}: "{key}" must be a string, found {value!r}.')
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f'{source}: "{key}" must be a number, found {value!r}.')
    if annotation == "int":
        if isinstance(value, float) and not value.is_integer():
            raise UserError(f'{source}: "{key}" must be a whole number, found {value!r}.')
        if value < 1:
            raise UserError(f'{source}: "{key}" must be at least 1, found {value!r}.')
        return int(value)
    is_rate = key.endswith("_prob") or key == "classifier_dropout"
    upper = 1.0 if is_rate else sys.float_info.max
    if not 0.0 <= value < upper:
        raise UserError(f'{source}: "{key}" must be at least 0 and below {upper}, found {value!r}.')
    return float(value)


def named_config(name: str, vocab_size: int = DEFAULT_VOCAB_SIZE) -> BertConfig | None:
    """The configuration of a size called by name, or None when `name` is not such a name.

    Accepted: `tiny mini small medium base large`; layers and width as in the paper, `L/H` (`6/512`);
    the same with a number of heads, `L/H/A` (`2/384/12`); and names of folders like those of the
    release (`uncased_L-6_H-512_A-8`). Without a number, heads are 64 wide, as in the paper.

    Raises:
      UserError: The width cannot be divided by the number of heads.
    """
    match = re.fullmatch(_SIZE, name) or re.fullmatch(_FOLDER, name)
    if match:
        depth, width = int(match[1]), int(match[2])
        heads = int(match[3]) if match[3] else 0
    elif name.lower() in NAMED_SIZES:
        (depth, width), heads = NAMED_SIZES[name.lower()], 0
    else:
        return None
    if not heads and width % _HEAD_WIDTH:
        raise UserError(
            f'"{name}": heads are {_HEAD_WIDTH} wide if their number is not given, and width {width} '
            f"is no multiple of that; give a number of heads that divides it, such as "
            f"{depth}/{width}/{_some_heads(width)}."
        )
    heads = heads or width // _HEAD_WIDTH
    if width % heads:
        raise UserError(
            f'"{name}": width {width} cannot be divided by {heads} heads; give a number that divides '
            f"it, such as {depth}/{width}/{_some_heads(width)}."
        )
    return BertConfig(
        vocab_size=vocab_size,
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        intermediate_size=4 * width,
    )


def _some_heads(width: int) -> int:
    """A number of heads that divides a width, of which each is about as wide as the paper's."""
    numbers = [n for n in range(1, width + 1) if width % n == 0]
    return min(numbers, key=lambda n: abs(width // n - _HEAD_WIDTH))


def load_config(
    name_or_path: str, vocab_size: int | None = None, flag: str = "bert_config_file"
) -> BertConfig:
    """Reads `--bert_config_file`: the path of a `bert_config.json`, or the name of a size.

    Args:
      name_or_path: See `named_config`; anything else is a path.
      vocab_size: Number of entries of the vocabulary in use, if one is known. A named size takes
        it; a file must agree with it.
      flag: Name of the flag, for the message.

    Raises:
      UserError: No such file or size, bad content, or another `vocab_size` than the vocabulary's.
    """
    config = named_config(name_or_path, vocab_size or DEFAULT_VOCAB_SIZE)
    if config is None:
        if not exists(name_or_path):
            raise UserError(
                f"--{flag}={name_or_path}: no such file, and not the name of a size "
                f"({', '.join(NAMED_SIZES)}, layers/width such as 6/512, or layers/width/heads)."
            )
        values = read_json(name_or_path)
        if not isinstance(values, dict):
            raise UserError(f"{name_or_path}: expected a JSON object of configuration keys.")
        config = BertConfig.from_dict(values, source=name_or_path)
    if vocab_size is not None and config.vocab_size != vocab_size:
        raise UserError(
            f"{name_or_path}: vocab_size is {config.vocab_size}, but the vocabulary has "
            f"{vocab_size} entries; use the vocabulary the model was made for."
        )
    return config
