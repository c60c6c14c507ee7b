"""experiments/docstring_corpus.py on packages made for the purpose."""

from __future__ import annotations

import collections
import json
import pathlib
import random
import re

import pytest
from scripts import run_script

from common.errors import UserError
from experiments import library_task

LETTERS = "bcdfghjklmnprstvwz"
FILES_PER_LIBRARY = 12
SHARED = (
    "Both of these libraries say this very sentence in a docstring that is long enough to be it."
)
REPEATED = "This sentence stands in many files of the same library, and only the first may keep it."
OUTPUTS = ["lm.txt", "transfer.txt", "vocab.txt", "task/train.tsv", "task/dev.tsv", "task/test.tsv"]


def invented_word(rng: random.Random) -> str:
    return "".join(rng.choice(LETTERS) + rng.choice("aeiou") for _ in range(3))


def invented_sentence(rng: random.Random, marker: str) -> str:
    words = [invented_word(rng) for _ in range(rng.randint(5, 14))]
    return f"The {words[0]} of {marker} is {' '.join(words[1:])}."


def source(rng: random.Random, marker: str, extra: str) -> str:
    """A module that must not be run, with a docstring of its own and of five functions."""
    parts = [f'"""{invented_sentence(rng, marker)}\n\n{extra}\n"""', "raise SystemExit(99)"]
    for i in range(5):
        body = "\n    ".join(invented_sentence(rng, marker) for _ in range(4))
        parts.append(f'def function_{i}():\n    """{body}\n    """')
    return "\n\n".join(parts) + "\n"


def install(
    site_packages: pathlib.Path, name: str, files: dict[str, str], requires: tuple[str, ...] = ()
) -> None:
    info = site_packages / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0"]
    metadata += [f"Requires-Dist: {requirement}" for requirement in requires]
    (info / "METADATA").write_text("\n".join(metadata) + "\n")
    (info / "RECORD").write_text("".join(f"{path},,\n" for path in files))
    for path, text in files.items():
        (site_packages / path).parent.mkdir(parents=True, exist_ok=True)
        (site_packages / path).write_text(text)


def marker_of(distribution: str, number: int) -> str:
    """A word that stands in every sentence of one file and in no other file."""
    owner = list(library_task.task_distributions()).index(distribution)
    return f"q{chr(ord('a') + owner)}{chr(ord('a') + number)}q"


@pytest.fixture(scope="module")
def site_packages(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("site-packages")
    for distribution in library_task.task_distributions():
        rng = random.Random(distribution)
        top = distribution.replace("-", "_")
        files = {}
        for number in range(FILES_PER_LIBRARY):
            extra = REPEATED if distribution == "scipy" else ""
            if distribution in ("numpy", "pandas") and number == 0:
                extra = SHARED
            if distribution == "tensorflow":
                extra = "The tf module and NumPy-like names are in this sentence with many words."
            marker = marker_of(distribution, number)
            files[f"{top}/part_{number}.py"] = source(rng, marker, extra)
        files[f"{top}/tests/test_it.py"] = source(rng, "qtestq", "")
        requires: tuple[str, ...] = ()
        if distribution == "keras":
            requires = ("Help_er>=1", 'wanted-by-an-extra; extra == "all"')
            files["keras/broken.py"] = '"""The docstring of a file that is broken."""\ndef f(:\n'
        install(folder, distribution, files, requires)
    rng = random.Random(0)
    install(folder, "help-er", {"helper.py": source(rng, "qhelperq", "")})
    install(folder, "wanted-by-an-extra", {"by_extra.py": source(rng, "qextraq", "")})
    install(folder, "unrelated", {"unrelated.py": source(rng, "qunrelatedq", "")})
    return str(folder)


def run(site_packages: str, output_dir: pathlib.Path, **values: object) -> None:
    sizes = {"train_size": 16, "dev_size": 40, "test_size": 40, "vocab_size": 300} | values
    run_script(
        "experiments/docstring_corpus",
        site_packages=site_packages,
        output_dir=str(output_dir),
        **sizes,
    )


@pytest.fixture(scope="module")
def corpus(site_packages: str, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("corpus")
    run(site_packages, folder)
    return folder


def read_part(corpus: pathlib.Path, part: str) -> list[tuple[str, str]]:
    header, *rows = (corpus / "task" / f"{part}.tsv").read_text().splitlines()
    assert header == "label\tsentence"
    return [(label, text) for label, text in (row.split("\t") for row in rows)]


def markers(text: str) -> set[str]:
    return set(re.findall(r"\bq[a-z]+q\b", text))


def test_labelled_parts_are_balanced(corpus: pathlib.Path) -> None:
    for part, per_label in (("train", 2), ("dev", 5), ("test", 5)):
        counts = collections.Counter(label for label, _ in read_part(corpus, part))
        assert counts == dict.fromkeys(library_task.LIBRARIES, per_label)


def test_label_is_the_library_of_the_text(corpus: pathlib.Path) -> None:
    libraries = library_task.task_distributions()
    owners = {
        marker_of(distribution, number): label
        for distribution, label in libraries.items()
        for number in range(FILES_PER_LIBRARY)
    }
    rows = [row for part in ("train", "dev", "test") for row in read_part(corpus, part)]
    for label, text in rows:
        assert {owners[marker] for marker in markers(text)} == {label}


def test_dev_and_test_share_no_file_with_anything(corpus: pathlib.Path) -> None:
    parts = {part: markers(str(read_part(corpus, part))) for part in ("train", "dev", "test")}
    rest = markers((corpus / "transfer.txt").read_text()) | markers((corpus / "lm.txt").read_text())
    assert parts["train"] <= rest
    assert parts["dev"].isdisjoint(rest)
    assert parts["test"].isdisjoint(rest)
    assert parts["dev"].isdisjoint(parts["test"])


def test_no_text_stands_in_two_parts(corpus: pathlib.Path) -> None:
    texts = [text for part in ("train", "dev", "test") for _, text in read_part(corpus, part)]
    texts += (corpus / "transfer.txt").read_text().splitlines()
    keys = [library_task.sentence_key(text) for text in texts]
    assert len(keys) > 300
    assert len(set(keys)) == len(keys)


def test_task_texts_give_no_library_away(corpus: pathlib.Path) -> None:
    texts = (corpus / "transfer.txt").read_text()
    texts += "".join(str(read_part(corpus, part)) for part in ("train", "dev", "test"))
    assert "The tf module" not in texts
    assert SHARED not in texts
    assert "The tf module" in (corpus / "lm.txt").read_text()


def test_lm_text_holds_each_sentence_once_and_a_document_per_file(corpus: pathlib.Path) -> None:
    text = (corpus / "lm.txt").read_text()
    assert text.count(REPEATED) <= 1
    lines = list(filter(None, text.splitlines()))
    assert len(lines) == len(set(lines))
    documents = text.split("\n\n")
    assert all(len(markers(document)) == 1 for document in documents)
    counts = json.loads((corpus / "corpus.json").read_text())["counts"]
    assert counts["lm_documents"] == len(documents)
    assert counts["lm_words"] == len(text.split())


def test_lm_text_is_of_the_dependency_tree(corpus: pathlib.Path) -> None:
    text = (corpus / "lm.txt").read_text()
    assert "qhelperq" in text
    assert not markers(text) & {"qextraq", "qunrelatedq", "qtestq"}


def test_broken_file_is_counted(corpus: pathlib.Path) -> None:
    assert json.loads((corpus / "corpus.json").read_text())["counts"]["unreadable_files"] == 1


def test_vocabulary(corpus: pathlib.Path) -> None:
    pieces = (corpus / "vocab.txt").read_text().split("\n")[:-1]
    assert pieces[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert len(pieces) == len(set(pieces))
    assert {"the", "of", "is", "."} <= set(pieces)
    assert any(piece.startswith("##") for piece in pieces)


def test_same_packages_give_the_same_bytes(
    corpus: pathlib.Path, site_packages: str, tmp_path: pathlib.Path
) -> None:
    run(site_packages, tmp_path)
    for name in [*OUTPUTS, "corpus.json"]:
        assert (tmp_path / name).read_bytes() == (corpus / name).read_bytes(), name


def test_complete_folder_is_left_alone_until_the_flags_change(
    site_packages: str, tmp_path: pathlib.Path
) -> None:
    run(site_packages, tmp_path)
    before = {name: (tmp_path / name).stat().st_mtime_ns for name in OUTPUTS}
    run(site_packages, tmp_path)
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in OUTPUTS} == before
    (tmp_path / "transfer.txt").unlink()
    run(site_packages, tmp_path)
    assert (tmp_path / "transfer.txt").exists()
    run(site_packages, tmp_path, train_size=24, max_lm_words=200)
    assert len(read_part(tmp_path, "train")) == 24
    assert 200 <= len((tmp_path / "lm.txt").read_text().split()) < 600


def test_too_little_text_is_an_error(site_packages: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match=r"docstrings of keras and tf-keras .* lower --test_size"):
        run(site_packages, tmp_path / "corpus", test_size=8000)
    assert not (tmp_path / "corpus").exists()


def test_missing_package_is_an_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="keras is not installed"):
        run(str(tmp_path), tmp_path / "corpus")
