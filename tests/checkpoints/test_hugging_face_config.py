"""Configurations of the Hugging Face library, and what they say of classifiers."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

import pytest
from hugging_face_folders import (
    ODD,
    ONE_LAYER,
    config_values,
    random_weights,
    write_folder,
)
from wrong_types import check_reader

from checkpoints.hugging_face import HuggingFaceReader, write_huggingface
from checkpoints.hugging_face_config import read_huggingface_config
from common.errors import UserError
from modeling.config import ACTIVATION_FUNCTIONS


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"model_type": "gpt2"}, 'model_type is "gpt2", models here have "bert"'),
        ({"is_decoder": True}, "is_decoder is true"),
        ({"position_embedding_type": "relative_key"}, 'position_embedding_type is "relative_key"'),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is false"),
        ({"layer_norm_eps": "small"}, '"layer_norm_eps" must be a number'),
        ({"classifier_dropout": 1.5}, '"classifier_dropout" must be at least 0 and below 1'),
        ({"pruned_heads": {"0": [1]}}, "pruned_heads is .* models here have {}"),
        ({"quantization_config": {"bits": 4}}, "quantization_config is .* models here have none"),
        ({"adapters": {"adapters": {"a": {}}}}, 'adapters is {"a"'),
        ({"auto_map": {"AutoModel": "custom.Model"}}, "auto_map is"),
        ({"is_encoder_decoder": True}, "is_encoder_decoder is true"),
        ({"embedding_size": 16}, "embedding_size is 16, models here have 32"),
        ({"hidden_act": "silu"}, 'hidden_act is "silu", expected one of gelu_new'),
        ({"hidden_act": None}, "hidden_act is null"),
        ({"hidden_size": 30}, "hidden_size 30 is not a multiple"),
        ({"type_vocab_size": None}, '"type_vocab_size" is missing'),
        ({"id2label": {"0": "no", "2": "yes"}}, "id2label must give a label to each number"),
        ({"id2label": ["no", "yes"]}, "id2label must give a label to each number"),
        ({"id2label": {"0": "no", "1": "yes"}}, r"id2label has 2 labels, .* has shape \[4\]"),
        (
            {"id2label": {"0": "no", "1": "yes"}, "label2id": {"no": 1, "yes": 0}},
            "id2label says .*, label2id .* contradict each other",
        ),
        (
            {"id2label": {"0": "no", "1": "yes"}, "num_labels": 3},
            "num_labels is 3, but id2label has 2",
        ),
    ],
)
def test_refused_configurations(
    tmp_path: pathlib.Path, changes: dict[str, Any], message: str
) -> None:
    folder = write_folder(tmp_path, **changes)
    with pytest.raises(UserError, match=f"config.json: .*{message}"):
        HuggingFaceReader(folder)


@pytest.mark.parametrize("without", [None, "id2label", "label2id", "num_labels"])
def test_values_of_any_type(tmp_path: pathlib.Path, without: str | None) -> None:
    write_folder(tmp_path)
    values = {
        **config_values(tmp_path),
        "architectures": ["BertForSequenceClassification"],
        "id2label": {"0": "no", "1": "yes"},
        "label2id": {"no": 0, "yes": 1},
        "num_labels": 2,
        "problem_type": "single_label_classification",
        "adapters": {"adapters": {}},
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps({k: v for k, v in values.items() if k != without}))
    check_reader(path, lambda: read_huggingface_config(str(tmp_path)))


def test_refused_files(tmp_path: pathlib.Path) -> None:
    folder = write_folder(tmp_path)
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(UserError, match="config.json: expected a JSON object"):
        read_huggingface_config(folder)
    (tmp_path / "config.json").write_text('{"model_type": ')
    with pytest.raises(UserError, match="config.json, line 1"):
        read_huggingface_config(folder)


def test_configuration(tmp_path: pathlib.Path) -> None:
    folder = write_folder(
        tmp_path, layer_norm_eps=1e-5, directionality="bidi", finetuning_task="mnli", top_k=50
    )
    found = read_huggingface_config(folder)
    # What only concerns the library is not carried along.
    assert found.config.extra == {"directionality": "bidi"}
    assert found.config.hidden_act == "gelu_erf"
    assert found.config.intermediate_size == 37
    assert found.config.layer_norm_eps == 1e-5
    # What this project does not read must not speak to the library either.
    extra = {"layer_norm_eps": 0.1, "is_decoder": True, "problem_type": "regression", "a": 1}
    config = dataclasses.replace(ODD, extra=extra, layer_norm_eps=1e-6, classifier_dropout=0.3)
    written = tmp_path / "written"
    write_huggingface(str(written), random_weights(config), config, None, None, None)
    values = config_values(written)
    assert (values["layer_norm_eps"], values["is_decoder"], values["a"]) == (1e-6, False, 1)
    assert values["classifier_dropout"] == 0.3
    assert "problem_type" not in values


@pytest.mark.parametrize(
    ("given", "rate"),
    [({}, 0.1), ({"hidden_dropout_prob": 0.3}, 0.3), ({"classifier_dropout": 0.2}, 0.2)],
)
def test_dropout_of_the_classifier(
    tmp_path: pathlib.Path, given: dict[str, Any], rate: float
) -> None:
    """null stands for that of the layers."""
    config = read_huggingface_config(write_folder(tmp_path, **given)).config
    assert config.classifier_dropout == rate


@pytest.mark.parametrize(
    ("values", "labels", "other_head"),
    [
        (
            {"id2label": {"0": "no", "1": "yes"}, "label2id": {"yes": 1, "no": 0}},
            ["no", "yes"],
            None,
        ),
        ({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}, None, None),
        ({"num_labels": 3}, None, None),
        ({"num_labels": 1}, [], None),
        ({"id2label": {"0": "LABEL_0"}}, [], None),
        # The library trains one output as a score whatever its name.
        ({"id2label": {"0": "similarity"}}, [], None),
        ({"problem_type": "regression"}, [], None),
        (
            {"id2label": {"0": "a", "1": "b"}, "problem_type": "single_label_classification"},
            ["a", "b"],
            None,
        ),
        ({"problem_type": "multi_label_classification"}, None, 'problem_type "multi_label'),
        ({"num_labels": 2, "problem_type": "regression"}, None, "regression with 2 scores"),
        (
            {"num_labels": 1, "problem_type": "single_label_classification"},
            None,
            "classification with a single class",
        ),
    ],
)
def test_kinds_of_classifiers(
    tmp_path: pathlib.Path, values: dict[str, Any], labels: list[str] | None, other_head: str | None
) -> None:
    found = read_huggingface_config(write_folder(tmp_path, **values))
    assert found.labels == labels
    assert (found.other_head or "").startswith(other_head or "")
    assert (found.other_head is None) is (other_head is None)


@pytest.mark.parametrize("word", ACTIVATION_FUNCTIONS)
def test_the_function_is_kept_not_the_word(tmp_path: pathlib.Path, word: str) -> None:
    config = dataclasses.replace(ONE_LAYER, hidden_act=word)
    write_huggingface(str(tmp_path / "model"), random_weights(config), config, None, None, None)
    function = ACTIVATION_FUNCTIONS[word]
    library_words = {"gelu_tanh": "gelu_new", "gelu_erf": "gelu"}
    assert config_values(tmp_path / "model")["hidden_act"] == library_words.get(function, function)
    found = read_huggingface_config(str(tmp_path / "model")).config.hidden_act
    assert ACTIVATION_FUNCTIONS[found] == function
    # Original scripts know this word for the tanh form, and no other.
    assert function != "gelu_tanh" or found == "gelu"


@pytest.mark.parametrize(
    "num_labels, labels, problem_type",
    [
        (3, ["contradiction", "entailment", "neutral"], None),
        (3, None, None),
        (1, [], "regression"),
        (12, [f"LABEL_{i}" for i in range(11, -1, -1)], None),
    ],
)
def test_labels(
    tmp_path: pathlib.Path, num_labels: int, labels: list[str] | None, problem_type: str | None
) -> None:
    weights = random_weights(ONE_LAYER, "pooler", "classifier", num_labels=num_labels)
    folder = tmp_path / "model"
    write_huggingface(str(folder), weights, ONE_LAYER, None, None, labels)
    values = config_values(folder)
    names = labels or [f"LABEL_{i}" for i in range(num_labels)]
    assert values["id2label"] == {str(i): name for i, name in enumerate(names)}
    assert values["label2id"] == {name: i for i, name in enumerate(names)}
    assert values.get("problem_type") == problem_type
    assert HuggingFaceReader(str(folder)).shapes["output_bias"] == (num_labels,)
    assert read_huggingface_config(str(folder)).labels == labels


def test_a_class_that_would_become_a_score(tmp_path: pathlib.Path) -> None:
    """A single output is a score to the library, whatever its name."""
    weights = random_weights(ONE_LAYER, "pooler", "classifier", num_labels=1)
    with pytest.raises(UserError, match='one output, with the label "only"; .*another format'):
        write_huggingface(str(tmp_path / "model"), weights, ONE_LAYER, None, None, ["only"])


def test_labels_belong_to_a_classifier(tmp_path: pathlib.Path) -> None:
    id2label = {"1": "b", "0": "a", "3": "d", "2": "c"}
    folder = write_folder(tmp_path, id2label=id2label)
    assert read_huggingface_config(folder).labels == ["a", "b", "c", "d"]
    folder = write_folder(tmp_path, id2label=id2label, architectures=["BertForMaskedLM"])
    assert read_huggingface_config(folder).labels is None
