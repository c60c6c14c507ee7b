"""The benchmark of big inputs, on small ones, and the commands that it watches."""

from __future__ import annotations

import pathlib
import random
import sys
from collections.abc import Callable, Sequence

import pytest
from scripts import run_script
from tiny_data import review

from benchmarks import input_growth
from benchmarks.watching import Moment, Watched, watch
from common.errors import UserError
from common.files import read_lines


@pytest.fixture
def text_file(tmp_path: pathlib.Path) -> pathlib.Path:
    """Documents of three sentences, 6 kB."""
    rng = random.Random(1)
    path = tmp_path / "text.txt"
    documents = ("\n".join(review(rng, i % 2) for _ in range(3)) for i in range(60))
    path.write_text("\n\n".join(documents))
    return path


def in_this_process(
    command: Sequence[str],
    log: str,
    cwd: str,
    milestones: Sequence[Callable[[], bool]] = (),
    stops: bool = False,
) -> Watched:
    """In place of `watch`: the script is run to its end, without another start of TensorFlow."""
    del log, cwd, stops
    _, script, *arguments = command
    if script.endswith(".py"):
        pairs = (argument.removeprefix("--").partition("=") for argument in arguments)
        run_script(
            script[:-3], **{name: value if equals else True for name, equals, value in pairs}
        )
        assert milestones == () or milestones[0]() in (True, False)
    return Watched(Moment(4.0, 2.0), 10**8, [Moment(2.0, 1.0) for _ in milestones])


def test_tables(
    tmp_path: pathlib.Path,
    vocab_file: str,
    text_file: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(input_growth, "watch", in_this_process)
    folder = tmp_path / "out"
    options = input_growth.GrowthOptions(
        factors=["1", "2"],
        num_records=40,
        max_seq_length=16,
        examples_per_shard=25,
        train_batch_size=8,
        text_megabytes=0.002,
        beam_runner=None,
        beam_python="",
        vocab_file=vocab_file,
        sentences_file=str(text_file),
        text_file=str(text_file),
        output_dir=str(folder),
    )
    input_growth.run(options)
    lines = (folder / "big_inputs.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    made, read, data = rows[2:5], rows[7:9], rows[11:]
    assert [row[:5] for row in made[:2]] == [
        ["40", "4", "2", "10", "100"],
        ["80", "4", "2", "20", "100"],
    ]
    assert made[2][:4] == ["8,000,000, on a line through the last two", "4", "2", "2,000,000"]
    # All rows are seen; the first hundredth is one record.
    assert [row[-3:-1] for row in read] == [["40", "1 of 2"], ["80", "1 of 4"]]
    assert [row[1:3] for row in read] == [["2.0 (1.0)", "-2.0 (-1.0)"]] * 2
    words = [int(row[0].replace(",", "")) for row in data[:2]]
    assert words[1] == pytest.approx(2 * words[0], rel=0.1)
    assert data[2][0] == "3,300,000,000, on a line through the last two"
    assert not (folder / "work").exists()


def test_text_that_is_too_short(
    tmp_path: pathlib.Path, vocab_file: str, text_file: pathlib.Path
) -> None:
    with pytest.raises(UserError, match="has less than 1 MB; lower --text_megabytes or --factors"):
        run_script(
            "benchmarks/big_inputs",
            vocab_file=vocab_file,
            text_file=text_file,
            text_megabytes=0.5,
            factors="2",
            output_dir=tmp_path / "out",
        )


def test_scores_are_of_different_texts(tmp_path: pathlib.Path) -> None:
    (tmp_path / "sentences.txt").write_text("a b c d\n\ne f\ng\n")
    input_growth.write_scores(str(tmp_path / "sentences.txt"), str(tmp_path / "scores.tsv"), 7)
    rows = [line.split("\t") for _, line in read_lines(str(tmp_path / "scores.tsv"))]
    assert rows[0] == ["text", "logit_negative", "logit_neutral", "logit_positive"]
    assert [row[0] for row in rows[1:]] == ["a b c d", "e f", "g", "a b f", "e g", "c d", "a b g"]
    assert all(float(cell) for row in rows[1:] for cell in row[1:])


def test_watched_command(tmp_path: pathlib.Path) -> None:
    """50 MB are held for a moment; then it waits until it is stopped, and takes it politely."""
    code = (
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
        "held = bytearray(50 * 10**6); del held\n"
        f"pathlib.Path({str(tmp_path / 'there')!r}).touch()\n"
        "while True: time.sleep(0.01)\n"
    )
    command = [sys.executable, "-c", code]
    log, there = str(tmp_path / "log"), tmp_path / "there"
    found = watch(command, log, str(tmp_path), [there.exists], stops=True)
    assert 5e7 < found.peak_bytes < 2e8
    (reached,) = found.milestones
    assert 0 < reached.seconds < found.end.seconds < 60
    assert 0 <= reached.cpu_seconds <= found.end.cpu_seconds + 0.02


@pytest.mark.parametrize(
    ("code", "message"),
    [("raise SystemExit(3)", "ended with status 3; see "), ("", "ended too early; see ")],
)
def test_watched_command_that_fails(tmp_path: pathlib.Path, code: str, message: str) -> None:
    log = str(tmp_path / "log")
    with pytest.raises(UserError, match=message):
        watch([sys.executable, "-c", code], log, str(tmp_path), [lambda: False])
