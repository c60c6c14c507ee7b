"""What a session starts from, and the folder that it takes."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
import tf_keras
from models import ODD_CONFIG, write_classifier, write_vocabulary

from common.errors import UserError
from common.outputs import release_locks
from modeling.heads import ClassifierModel
from training import kept_models
from training import session as session_module
from training.identity import Identity
from training.options import EpochOptions
from training.session import Session, trained_checkpoint


@pytest.fixture
def model(tmp_path: pathlib.Path) -> str:
    """A classifier of three labels, trained on 16 tokens."""
    vocab = write_vocabulary(tmp_path / "vocab.txt", [])
    folder = str(tmp_path / "model")
    write_classifier(folder, ODD_CONFIG, vocab, 3, labels=["a", "b", "c"], max_seq_length=16)
    return folder


@pytest.fixture
def session(model: str, tmp_path: pathlib.Path) -> Callable[..., Session]:
    def make(**changes: Any) -> Session:
        given = {"init_checkpoint": model, "output_dir": str(tmp_path / "out"), **changes}
        return Session(EpochOptions(**given))

    return make


def test_model_that_is_used_without_training(
    model: str, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert trained_checkpoint("elsewhere", model) == model
    assert trained_checkpoint(model, None) == model
    assert caplog.messages == [
        f"The model is that of --init_checkpoint={model}.",
        f"The model is that of --output_dir={model}.",
    ]
    with pytest.raises(UserError, match="holds no trained model; train first"):
        trained_checkpoint(str(tmp_path / "none"), None)


@pytest.mark.parametrize(
    ("options", "length", "found"),
    [
        # Given; asked for by the records; of the model's training.
        ({"max_seq_length": 12}, 14, 12),
        ({}, 14, 14),
        ({}, None, 16),
        ({"do_train": True, "max_seq_length": 12}, None, 12),
        ({"do_train": True}, None, 16),
    ],
)
def test_length_of_inputs(
    session: Callable[..., Session], options: dict[str, Any], length: int | None, found: int
) -> None:
    made = session(**options)
    made.text_model_sources(length)
    assert made.max_seq_length == found


@pytest.mark.parametrize(
    ("options", "starts"),
    [
        ({"do_train": True}, True),
        ({"do_train": True, "init_strategy": "random"}, False),
        # Nothing is trained.
        ({}, False),
    ],
)
def test_initial_weights(
    session: Callable[..., Session], options: dict[str, Any], starts: bool
) -> None:
    made = session(**options)
    assert (made.initial_weights(made.model_sources()) is not None) == starts


def test_classifier_to_keep(session: Callable[..., Session]) -> None:
    made = session(do_train=True, init_head="keep", init_strategy="embeddings_only")
    with pytest.raises(UserError, match="--init_head=keep needs a classifier to keep"):
        made.initial_classifier_weights(made.model_sources(), ["a", "b", "c"])
    made = session(do_train=True, init_head="keep")
    reader = made.initial_classifier_weights(made.model_sources(), ["a", "b", "c"])
    assert reader and "output_weights" in reader.shapes
    made = session(do_train=True, init_head="new")
    reader = made.initial_classifier_weights(made.model_sources(), ["a", "b", "c"])
    assert reader and "output_weights" not in reader.shapes


def test_layers_by_number(session: Callable[..., Session]) -> None:
    made = session(do_train=True, init_layers=("0", "two"))
    with pytest.raises(UserError, match="--init_layers=0,two: expected numbers of layers"):
        made.initial_weights(made.model_sources())


@pytest.mark.parametrize("rate", [None, 0.1, 0.2])
def test_flags_that_say_what_holds_without_them(
    session: Callable[..., Session],
    monkeypatch: pytest.MonkeyPatch,
    rate: float | None,
) -> None:
    """They make no other run; runs of earlier versions recorded them as they were given."""
    found: list[Identity] = []
    monkeypatch.setattr(
        session_module, "check_identity", lambda folder, identity, *rest: found.append(identity)
    )
    made = session(do_train=True, dropout_prob=rate, init_head="keep")
    sources = made.model_sources()
    made.check_run(sources, made.build(ClassifierModel, sources.config, 3), None, {}, {}, None)
    (identity,) = found
    assert identity.training.values["dropout_prob"] == (0.2 if rate == 0.2 else None)
    assert "init_head" not in identity.training.values
    given = {"dropout_prob": rate, "init_head": "keep"}
    assert given.items() <= identity.training.earlier.items()


def test_folder_of_its_own(session: Callable[..., Session], model: str) -> None:
    with pytest.raises(UserError, match="--output_dir"):
        session(do_train=True, output_dir=model).claim_output_dir({})
    # Results may go beside a model that is not trained.
    session(output_dir=model).claim_output_dir({})
    release_locks()
    with pytest.raises(UserError, match="--output_dir"):
        session(output_dir=model).claim_output_dir({"data_dir": [model]})


@pytest.mark.parametrize("is_kept", [True, False])
def test_model_is_left_to_further_runs_however_the_run_ends(
    session: Callable[..., Session], monkeypatch: pytest.MonkeyPatch, is_kept: bool
) -> None:
    monkeypatch.setattr(kept_models, "_kept", [])

    def build(is_kept: bool = True) -> tf_keras.Model:
        with contextlib.suppress(UserError), session() as used:
            model = used.build(ClassifierModel, ODD_CONFIG, 3, is_kept=is_kept)
            raise UserError("refused")
        return model

    first = build(is_kept)
    assert (build() is first) == is_kept
