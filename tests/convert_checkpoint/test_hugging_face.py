"""Folders of the Hugging Face library, by flags: what comes along in both directions."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import pytest
from converted_models import ONE_LAYER, classifier_weights
from models import ODD_CONFIG, random_weights
from scripts import run_script

from checkpoints.hugging_face import write_huggingface
from checkpoints.lineage import lineage_of
from checkpoints.model_folder import write_model_folder
from common.errors import UserError
from modeling.heads import ClassifierModel


def test_settings_of_an_imported_model_are_kept(
    tmp_path: pathlib.Path, odd_vocab_file: str
) -> None:
    """From a folder with tokenizer.json alone, to our form and back to the library's."""
    config = dataclasses.replace(
        ONE_LAYER, hidden_act="gelu_erf", layer_norm_eps=1e-5, classifier_dropout=0.3
    )
    folder = tmp_path / "hf"
    labels = ["no", "maybe", "yes"]
    write_huggingface(str(folder), classifier_weights(config), config, odd_vocab_file, True, labels)
    (folder / "vocab.txt").unlink()
    (folder / "tokenizer_config.json").write_text("{}")
    tokens = pathlib.Path(odd_vocab_file).read_text().split()
    whole = {
        "normalizer": {"type": "BertNormalizer", "lowercase": True, "strip_accents": False},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {"type": "WordPiece", "vocab": {token: i for i, token in enumerate(tokens)}},
    }
    (folder / "tokenizer.json").write_text(json.dumps(whole))
    target = tmp_path / "tf1"
    run_script("convert_checkpoint", input_path=folder, output_dir=target)
    info = json.loads((target / "model_info.json").read_text())
    assert info["do_lower_case"] is True
    assert info["tokenizer_settings"] == {"strip_accents": False, "max_chars_per_word": 100}
    assert (target / "vocab.txt").read_text().split() == tokens
    written = json.loads((target / "bert_config.json").read_text())
    assert (written["layer_norm_eps"], written["classifier_dropout"]) == (1e-5, 0.3)
    back = tmp_path / "back"
    run_script("convert_checkpoint", input_path=target, output_format="hf", output_dir=back)
    said = json.loads((back / "tokenizer_config.json").read_text())
    assert (said["do_lower_case"], said["strip_accents"]) == (True, False)
    values = json.loads((back / "config.json").read_text())
    assert (values["layer_norm_eps"], values["classifier_dropout"]) == (1e-5, 0.3)
    with pytest.raises(UserError, match="layer_norm_eps is 1e-05, but Model Garden's encoder"):
        run_script(
            "convert_checkpoint",
            input_path=target,
            output_format="model_garden",
            output_dir=tmp_path / "garden",
        )
    served = tmp_path / "served"
    run_script(
        "convert_checkpoint",
        input_path=target,
        output_format="saved_model",
        output_dir=served,
        max_seq_length=16,
        verify=False,
    )
    info = json.loads((served / "assets.extra" / "model_info.json").read_text())
    assert info["tokenizer_settings"]["strip_accents"] is False


def test_a_multi_label_classifier_is_not_converted(
    tmp_path: pathlib.Path, odd_vocab_file: str
) -> None:
    config = dataclasses.replace(ODD_CONFIG, hidden_act="gelu_erf")
    folder = tmp_path / "hf"
    write_huggingface(str(folder), classifier_weights(config), config, odd_vocab_file, True, None)
    values = json.loads((folder / "config.json").read_text())
    values["problem_type"] = "multi_label_classification"
    (folder / "config.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match='is for problem_type "multi_label_classification", which'):
        run_script("convert_checkpoint", input_path=folder, output_dir=tmp_path / "tf1")


@pytest.mark.parametrize("length", [16, ONE_LAYER.max_position_embeddings])
def test_card_and_length_of_a_hugging_face_folder(
    tmp_path: pathlib.Path, vocab_file: str, length: int
) -> None:
    """Labels, figures and lineage without a path; the length comes back, and an edited one wins."""
    folder, target, back = (tmp_path / name for name in ("student", "hf", "back"))
    config = dataclasses.replace(
        ONE_LAYER, vocab_size=len(pathlib.Path(vocab_file).read_text().split())
    )
    labels = ["not | good", "good"]
    contents_ = {"soft labels": {"sha256": "5" * 64, "source": f"{tmp_path}/labels"}}
    info = {
        "labels": labels,
        "do_lower_case": True,
        "flags": {"max_seq_length": length, "learning_rate": 3e-4, "input_file": f"{tmp_path}/x"},
        "teacher_weights_sha256": "7" * 64,
        "made_from": contents_,
    }
    weights = random_weights(ClassifierModel(config, 2))
    write_model_folder(str(folder), weights, config, vocab_file, info)
    results = {"eval_accuracy": 0.875, "eval_macro_f1": 0.75, "rows": 40, "checkpoint": "."}
    (folder / "eval_results.json").write_text(json.dumps(results))
    run_script("convert_checkpoint", input_path=folder, output_format="hf", output_dir=target)
    card = (target / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\npipeline_tag: text-classification\n")
    for line in (
        "license_name: to-be-chosen",
        "| 0 | not \\| good |",
        "On the development set of 40 rows:",
        "| accuracy | 0.8750 |",
        f"| teacher (SHA-256 of its weights) | {'7' * 64} |",
        f"| soft labels (SHA-256) | {'5' * 64} |",
        "| learning_rate | 0.0003 |",
        f"| max_seq_length | {length} |",
    ):
        assert line in card.splitlines(), line
    assert str(tmp_path) not in card
    assert (target / "tokenizer.json").exists()
    run_script("convert_checkpoint", input_path=target, output_dir=back)
    assert json.loads((back / "model_info.json").read_text())["max_seq_length"] == length
    settings = json.loads((target / "tokenizer_config.json").read_text())
    (target / "tokenizer_config.json").write_text(json.dumps({**settings, "model_max_length": 9}))
    run_script("convert_checkpoint", input_path=target, output_dir=tmp_path / "edited")
    edited = json.loads((tmp_path / "edited" / "model_info.json").read_text())
    recorded = json.loads((folder / "model_info.json").read_text())
    assert (edited["max_seq_length"], edited["lineage"]) == (9, lineage_of(recorded))
