"""What scripts have in common: their flags are made ready, and their log is plain."""

from __future__ import annotations

import logging
import os
import pathlib
import sys
import threading

import pytest
from absl import flags

from experiments.fork_server import ForkServer
from training.cli import configure_logging, resolve_paths


def values_of(**given: object) -> flags.FlagValues:
    values = flags.FlagValues()
    for name, value in given.items():
        define = flags.DEFINE_list if isinstance(value, list) else flags.DEFINE_string
        define(name, value, "", flag_values=values)
    values.mark_as_parsed()
    return values


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("output_file", "~/a", "/home/me/a"),
        ("output_dir", "~", "/home/me"),
        ("input_file", "~/a*, ~/b,c", "/home/me/a*,/home/me/b,c"),
        ("input_file", "a~b,gs://bucket/~c", "a~b,gs://bucket/~c"),
        ("exclude_task", ["mnli:~/MNLI", "rte:glue/RTE"], ["mnli:/home/me/MNLI", "rte:glue/RTE"]),
        ("labels", ["~", "+"], ["~", "+"]),
        ("text_a", "~/x", "~/x"),
        ("vocab_file", None, None),
        ("bert_config_file", "2/128", "2/128"),
    ],
)
def test_home_folder(
    monkeypatch: pytest.MonkeyPatch, name: str, value: object, expected: object
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    values = values_of(**{name: value})
    resolve_paths(values)
    assert values[name].value == expected


def test_words_are_no_paths() -> None:
    given = {"labels": "~/a", "label_names": "~/b", "class_weights": "~/c, d:2"}
    values = values_of(**given)
    resolve_paths(values)
    assert {name: values[name].value for name in given} == given


def test_pipes(tmp_path: pathlib.Path) -> None:
    """Those that are read; what is written may be a device."""
    fifo = str(tmp_path / "fifo")
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: pathlib.Path(fifo).write_text("[PAD]\n"))
    writer.start()
    values = values_of(vocab_file=fifo, input_file=f"a.txt,{fifo}", output_file="/dev/null")
    resolve_paths(values)
    writer.join()
    assert pathlib.Path(values["vocab_file"].value).read_text() == "[PAD]\n"
    assert values["input_file"].value == f"a.txt,{values['vocab_file'].value}"
    assert values["output_file"].value == "/dev/null"


def test_log_without_notices_of_libraries(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    before = root.level
    configure_logging()
    for name in ("absl", "tensorflow"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)  # As some of TensorFlow's modules do.
        logger.info("a state was saved")
        logger.warning("a warning of %s", name)
    logging.info("a line")
    root.setLevel(before)
    assert capsys.readouterr().err == ("a warning of absl\na warning of tensorflow\na line\n")


def test_keras_3_is_not_imported(fork_server: ForkServer, tmp_path: pathlib.Path) -> None:
    """TensorFlow would do so for `tf.keras`, at a second and 90 MB of every process."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, tensorflow, tf_keras\n"
        "print('tensorflow' in sys.modules, any(m.split('.')[0] == 'keras' for m in sys.modules))"
    )
    process = fork_server.start([sys.executable, str(script)], str(tmp_path / "log"))
    assert process.wait() == 0
    assert (tmp_path / "log").read_text() == "True False\n"
