"""A task made of docstrings: which library does a text document?

The task is a small picture of the situation that distillation is for: few labels, much more text of
the same kind without labels, and words that only together tell the classes apart.
"""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Iterable, Mapping

from common.errors import UserError
from experiments.docstrings import Document


@dataclasses.dataclass(frozen=True)
class Library:
    """A class of the task.

    Attributes:
      distributions: The packages it comes in, as on PyPI.
      names: Its names in texts; no text of the task holds a name of any library.
    """

    distributions: tuple[str, ...]
    names: tuple[str, ...]


LIBRARIES: Mapping[str, Library] = {
    "keras": Library(("keras", "tf-keras"), ("keras",)),
    "matplotlib": Library(("matplotlib",), ("matplotlib", "mpl", "pyplot", "plt", "pylab")),
    "model-garden": Library(("tf-models-official",), ("official", "model garden", "tfm")),
    "numpy": Library(("numpy",), ("numpy", "np")),
    "pandas": Library(("pandas",), ("pandas", "pd")),
    "scikit-learn": Library(("scikit-learn",), ("scikit", "sci-kit", "sklearn")),
    "scipy": Library(("scipy",), ("scipy", "sp")),
    "tensorflow": Library(("tensorflow",), ("tensorflow", "tensor flow", "tf")),
}
# An alias counts where no letter stands beside it, a longer name inside of words too.
_LONGEST_ALIAS = 3
_NAMES = [name for library in LIBRARIES.values() for name in library.names]
_LIBRARY_NAME = re.compile(
    "|".join(name for name in _NAMES if len(name) > _LONGEST_ALIAS)
    + f"|(?<![a-z])(?:{'|'.join(name for name in _NAMES if len(name) <= _LONGEST_ALIAS)})(?![a-z])",
    re.IGNORECASE,
)
# TensorFlow contains old copies of Keras: text to pre-train on, but no examples of either library.
_KERAS_COPY = re.compile(r"tensorflow/(?:.*/)?keras/")

# An example of the task is one or more sentences in a row of one docstring, of so many words.
_MIN_TEXT_WORDS, _MAX_TEXT_WORDS = 15, 48
# Of any one file, so that a held-out set is not about a handful of files.
_MAX_HELD_OUT_PER_FILE = 25


@dataclasses.dataclass(frozen=True)
class TaskSplit:
    """Labelled and unlabelled texts of the task.

    Attributes:
      train, dev, test: (label, text) in random order.
      transfer: Texts in random order, none of which is in another part.
      held_out_files: Names of the files that dev and test come from; nothing else does.
    """

    train: list[tuple[str, str]]
    dev: list[tuple[str, str]]
    test: list[tuple[str, str]]
    transfer: list[str]
    held_out_files: set[str]


def sentence_key(sentence: str) -> str:
    """Lower-case letters of a sentence: equal for duplicates up to case, digits, punctuation."""
    return "".join(re.findall(r"[^\W\d_]+", sentence.lower()))


def task_distributions() -> dict[str, str]:
    """The packages of the task, each with its library."""
    return {
        distribution: label
        for label, library in LIBRARIES.items()
        for distribution in library.distributions
    }


def deduplicate(documents: Iterable[Document]) -> tuple[list[Document], set[str]]:
    """Keeps the first of the sentences with the same key.

    Returns:
      The documents with what is left of them, and the keys of the sentences that stand in more than
      one library of the task, which therefore say nothing about the library.
    """
    owners: dict[str, str] = {}
    seen: set[str] = set()
    shared: set[str] = set()
    libraries = task_distributions()
    kept = []
    for document in documents:
        # A copy of Keras inside TensorFlow counts as Keras here.
        copied = _KERAS_COPY.match(document.name)
        library = "keras" if copied else libraries.get(document.distribution)
        left = []
        for sentences in document.docstrings:
            new = []
            for sentence in sentences:
                key = sentence_key(sentence)
                if key not in seen:
                    seen.add(key)
                    new.append(sentence)
                if library and owners.setdefault(key, library) != library:
                    shared.add(key)
            if new:
                left.append(new)
        if left:
            kept.append(dataclasses.replace(document, docstrings=left))
    return kept, shared


def make_task(
    documents: Iterable[Document],
    shared: set[str],
    train_size: int,
    dev_size: int,
    test_size: int,
    seed: int,
) -> TaskSplit:
    """Splits the texts of the libraries into the parts of the task.

    All libraries have the same number of examples in each labelled part. Dev and test come from
    files of their own; the other files give the training set and the transfer set.

    Args:
      documents: Documents without repeated sentences.
      shared: Keys of sentences to leave out.
      train_size, dev_size, test_size: Number of examples, cut to a multiple of the libraries.
      seed: Decides which files and texts go where.

    Raises:
      UserError: A library has too few texts.
    """
    texts: dict[str, dict[str, list[str]]] = {label: {} for label in LIBRARIES}
    libraries = task_distributions()
    for document in documents:
        label = libraries.get(document.distribution)
        if label and not _KERAS_COPY.match(document.name):
            found = task_texts(document, shared)
            if found:
                texts[label][document.name] = found

    rng = random.Random(seed)
    parts: dict[str, list[tuple[str, str]]] = {"test": [], "dev": [], "train": []}
    transfer: list[str] = []
    held_out_files: set[str] = set()
    for label, by_file in texts.items():
        files = sorted(by_file)
        rng.shuffle(files)
        for part, size in (("test", test_size), ("dev", dev_size)):
            wanted = size // len(LIBRARIES)
            chosen: list[str] = []
            while files and len(chosen) < wanted:
                file = files.pop()
                held_out_files.add(file)
                chosen += rng.sample(by_file[file], min(len(by_file[file]), _MAX_HELD_OUT_PER_FILE))
            _check_enough(label, part, len(chosen), wanted)
            parts[part] += [(label, text) for text in chosen[:wanted]]
        rest = [text for file in sorted(files) for text in by_file[file]]
        rng.shuffle(rest)
        wanted = train_size // len(LIBRARIES)
        _check_enough(label, "train", len(rest), wanted)
        parts["train"] += [(label, text) for text in rest[:wanted]]
        transfer += rest[wanted:]
    for examples in parts.values():
        rng.shuffle(examples)
    rng.shuffle(transfer)
    return TaskSplit(**parts, transfer=transfer, held_out_files=held_out_files)


def _check_enough(label: str, part: str, found: int, wanted: int) -> None:
    if found < wanted:
        packages = " and ".join(LIBRARIES[label].distributions)
        raise UserError(
            f"the docstrings of {packages} give {found} examples for {part}, {wanted} are needed; "
            f"lower --{part}_size or install the packages of requirements.lock."
        )


def task_texts(document: Document, shared: set[str]) -> list[str]:
    """The examples a document gives: runs of sentences that name no library and are not shared."""
    texts = []
    for sentences in document.docstrings:
        run: list[str] = []
        for sentence in [*sentences, ""]:
            usable = (
                sentence
                and not _LIBRARY_NAME.search(sentence)
                and sentence_key(sentence) not in shared
            )
            if run and not (usable and num_words([*run, sentence]) <= _MAX_TEXT_WORDS):
                if _MIN_TEXT_WORDS <= num_words(run) <= _MAX_TEXT_WORDS:
                    texts.append(" ".join(run))
                run = []
            if usable:
                run.append(sentence)
    return texts


def num_words(sentences: Iterable[str]) -> int:
    """Words between spaces."""
    return sum(len(sentence.split()) for sentence in sentences)
