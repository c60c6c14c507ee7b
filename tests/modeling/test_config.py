"""bert_config.json, named sizes and parameter counts."""

from __future__ import annotations

import json
import pathlib

import pytest
from wrong_types import check_reader

from common.errors import UserError
from modeling.config import BertConfig, load_config, named_config

GOOD = {
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 128,
    "initializer_range": 0.02,
    "intermediate_size": 512,
    "max_position_embeddings": 512,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "type_vocab_size": 2,
    "vocab_size": 30522,
}

# (L, H) -> encoder and pooler, with MLM and NSP heads. Table 1(a) of the paper prints the second.
PARAMETERS = {
    (2, 128): (4385920, 4433468),
    (2, 256): (9591040, 9688380),
    (2, 512): (22458880, 22754108),
    (2, 768): (38603520, 39227708),
    (4, 128): (4782464, 4830012),
    (4, 256): (11170560, 11267900),
    (4, 512): (28763648, 29058876),
    (4, 768): (52779264, 53403452),
    (6, 128): (5179008, 5226556),
    (6, 256): (12750080, 12847420),
    (6, 512): (35068416, 35363644),
    (6, 768): (66955008, 67579196),
    (8, 128): (5575552, 5623100),
    (8, 256): (14329600, 14426940),
    (8, 512): (41373184, 41668412),
    (8, 768): (81130752, 81754940),
    (10, 128): (5972096, 6019644),
    (10, 256): (15909120, 16006460),
    (10, 512): (47677952, 47973180),
    (10, 768): (95306496, 95930684),
    (12, 128): (6368640, 6416188),
    (12, 256): (17488640, 17585980),
    (12, 512): (53982720, 54277948),
    (12, 768): (109482240, 110106428),
    (24, 1024): (335141888, 336226108),
}


@pytest.mark.parametrize(("size", "counts"), PARAMETERS.items())
def test_parameter_counts(size: tuple[int, int], counts: tuple[int, int]) -> None:
    config = named_config(f"{size[0]}/{size[1]}")
    assert config is not None
    assert (config.num_parameters(), config.num_parameters(with_heads=True)) == counts
    assert config.num_attention_heads == size[1] // 64


@pytest.mark.parametrize("size", [(2, 128), (4, 256), (24, 1024)])
def test_models_have_as_many_weights_as_counted(size: tuple[int, int]) -> None:
    """Shapes alone are made, so that Large fits everywhere."""
    import tensorflow as tf

    from modeling.heads import PretrainingModel

    config = named_config(f"{size[0]}/{size[1]}")
    assert config is not None
    with tf.Graph().as_default():
        variables = PretrainingModel(config).trainable_variables
    assert sum(v.shape.num_elements() for v in variables) == PARAMETERS[size][1]


def test_names() -> None:
    assert named_config("Tiny") == named_config("2/128") == named_config("uncased_L-2_H-128_A-2")
    assert named_config("large", 100) is not None
    assert named_config("base", 100).vocab_size == 100  # type: ignore[union-attr]
    assert named_config("bert_config.json") is None
    assert named_config("0/128") is None


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("3/128", (3, 128, 2)),
        ("2/384", (2, 384, 6)),
        ("2/384/12", (2, 384, 12)),
        ("1/100/5", (1, 100, 5)),
        ("uncased_L-2_H-128_A-4", (2, 128, 4)),
    ],
)
def test_any_width_that_heads_divide(name: str, size: tuple[int, int, int]) -> None:
    config = named_config(name)
    assert config is not None
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == size
    assert config.intermediate_size == 4 * size[1]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("2/100", "64 wide .* 100 is no multiple of that; .* such as 2/100/2"),
        ("2/384/10", "width 384 cannot be divided by 10 heads; .* such as 2/384/6"),
        ("L-2_H-128_A-3", "width 128 cannot be divided by 3 heads"),
    ],
)
def test_width_that_heads_do_not_divide(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_config(name)


def write(path: pathlib.Path, **changes: object) -> str:
    values = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
    path.write_text(json.dumps(values))
    return str(path)


def test_file_and_its_extra_keys_survive(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path / "bert_config.json", directionality="bidi", pooler_type="first")
    config = load_config(path)
    assert config.extra == {"directionality": "bidi", "pooler_type": "first"}
    assert config.to_dict() == json.loads(pathlib.Path(path).read_text())
    assert BertConfig.from_dict(json.loads(config.to_json())) == config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": None}, '"hidden_size" is missing'),
        ({"type_vocab_size": None}, '"type_vocab_size" is missing'),
        ({"num_hidden_layers": None, "num_hiden_layers": 2}, '"num_hiden_layers".*misspelt'),
        ({"hidden_dropout_prob": None, "hidden_dropout": 0.2}, '"hidden_dropout".*misspelt'),
        ({"hidden_size": "128"}, "\"hidden_size\" must be a number, found '128'"),
        ({"hidden_size": 128.5}, '"hidden_size" must be a whole number'),
        ({"hidden_size": True}, '"hidden_size" must be a number, found True'),
        ({"num_hidden_layers": 0}, '"num_hidden_layers" must be at least 1'),
        ({"hidden_dropout_prob": 1.0}, '"hidden_dropout_prob" must be at least 0 and below 1'),
        ({"hidden_act": "swish"}, '"swish" is not one of'),
        ({"hidden_act": 3}, '"hidden_act" must be a string'),
        ({"adapters": [1]}, r"adapters is \[1\], models here have {}"),
        ({"initializer_range": 10**400}, '"initializer_range" must be at least 0 and below'),
        ({"num_attention_heads": 3}, "128 is not a multiple of num_attention_heads 3"),
    ],
)
def test_bad_configurations(
    tmp_path: pathlib.Path, changes: dict[str, object], message: str
) -> None:
    path = write(tmp_path / "bert_config.json", **changes)
    with pytest.raises(UserError, match=f"bert_config.json.*{message}"):
        load_config(path)


def test_values_of_any_type(tmp_path: pathlib.Path) -> None:
    values = {"adapters": {"adapters": {}}, "pruned_heads": {}, "is_decoder": False, "extra": {}}
    path = write(tmp_path / "bert_config.json", **values)
    check_reader(pathlib.Path(path), lambda: load_config(path).to_json())


def test_dropout_rates_may_be_absent(tmp_path: pathlib.Path) -> None:
    config = load_config(write(tmp_path / "c.json", hidden_dropout_prob=None))
    assert config.hidden_dropout_prob == 0.1


def test_bad_files(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="nothing.json: no such file.*tiny"):
        load_config(str(tmp_path / "nothing.json"))
    broken = tmp_path / "broken.json"
    broken.write_text('{"hidden_size": 1,\n  oops}')
    with pytest.raises(UserError, match="broken.json, line 2"):
        load_config(str(broken))
    broken.write_text("[1]")
    with pytest.raises(UserError, match="expected a JSON object"):
        load_config(str(broken))


def test_vocabulary_of_another_size(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path / "bert_config.json")
    with pytest.raises(UserError, match="vocab_size is 30522.*28996 entries"):
        load_config(path, vocab_size=28996)
    assert load_config("tiny", vocab_size=28996).vocab_size == 28996


def test_one_rate_for_all_dropout() -> None:
    config = load_config("tiny", 30522)
    changed = {k: v for k, v in vars(config.with_dropout(0.3)).items() if v != vars(config)[k]}
    assert set(changed.values()) == {0.3}
    assert sorted(changed) == [
        "attention_probs_dropout_prob",
        "classifier_dropout",
        "hidden_dropout_prob",
    ]
