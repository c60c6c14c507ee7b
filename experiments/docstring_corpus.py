"""Text for the quickstart: the English in the docstrings of the installed Python packages.

Writes text for pre-training (lm.txt), a task with few labels, "which library does this text
document?" (task/train.tsv, dev.tsv, test.tsv), unlabelled text of the same kind (transfer.txt), a
WordPiece vocabulary (vocab.txt) and what they were made of (corpus.json). No package is imported or
run, except for tensorflow-text, which learns the vocabulary.

  python -m experiments.docstring_corpus --output_dir=corpus
Fewer labels and less text, for a shorter run:
  python -m experiments.docstring_corpus --output_dir=corpus --train_size=500 --max_lm_words=500000
Another environment's packages:
  python -m experiments.docstring_corpus --output_dir=corpus --site_packages=env/lib/site-packages
"""

from __future__ import annotations

import ast
import collections
import dataclasses
import importlib.metadata
import inspect
import itertools
import json
import logging
import os
import random
import re
import sysconfig
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from absl import flags
from tqdm import tqdm

from common.errors import UserError
from common.files import exists, make_folder, read_json, remove, write_json, write_text
from modeling.tokenization import SPECIAL_TOKENS, basic_tokenize
from pretraining.sentences import split_sentences
from training import cli

FLAGS = flags.FLAGS

## Files
flags.DEFINE_string("output_dir", None, "Folder for all files.")
flags.DEFINE_list("site_packages", None, "Folders of packages; those of this Python by default.")

## Sizes
flags.DEFINE_integer("train_size", 1000, "Labelled examples for training.", lower_bound=8)
flags.DEFINE_integer("dev_size", 2000, "Labelled examples for choosing models.", lower_bound=8)
flags.DEFINE_integer("test_size", 2000, "Labelled examples for the results.", lower_bound=8)
flags.DEFINE_integer("max_lm_words", None, "Words of pre-training text; all by default.")
flags.DEFINE_integer("vocab_size", 8000, "WordPieces to aim at; 95 to 100 % of it come out.")
flags.DEFINE_integer("random_seed", 12345, "Seed of the split and of the order.")

OUTPUTS = (
    "lm.txt",
    "vocab.txt",
    "transfer.txt",
    os.path.join("task", "train.tsv"),
    os.path.join("task", "dev.tsv"),
    os.path.join("task", "test.tsv"),
)
MANIFEST = "corpus.json"
# With the packages, what decides the files. They are made anew for other values.
IDENTITY_FLAGS = (
    *("train_size", "dev_size", "test_size"),
    *("max_lm_words", "vocab_size", "random_seed"),
)


@dataclasses.dataclass(frozen=True)
class Library:
    """A class of the task.

    Attributes:
      distributions: The packages it comes in, as on PyPI.
      names: What its texts call it; no text of the task holds a name of any library.
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
# An alias stands for itself; a longer name counts inside other words too (`NumPy-like`, `mpl_x`).
_LONGEST_ALIAS = 3
_NAMES = [name for library in LIBRARIES.values() for name in library.names]
_LIBRARY_NAME = re.compile(
    "|".join(name for name in _NAMES if len(name) > _LONGEST_ALIAS)
    + f"|(?<![a-z])(?:{'|'.join(name for name in _NAMES if len(name) <= _LONGEST_ALIAS)})(?![a-z])",
    re.IGNORECASE,
)
# TensorFlow carries old copies of Keras. They are text to pre-train on, but neither of the two.
_KERAS_COPY = re.compile(r"tensorflow/(?:.*/)?keras/")

# An example of the task is one or more sentences in a row of one docstring, of so many words.
_MIN_TEXT_WORDS, _MAX_TEXT_WORDS = 10, 48
# Of any one file, so that a held-out set is not about a handful of files.
_MAX_HELD_OUT_PER_FILE = 25

# Words seen less often teach the vocabulary little and cost most of the time.
_MIN_WORD_COUNT = 5


@dataclasses.dataclass(frozen=True)
class SourceFile:
    """A Python file of an installed package: its distribution, where it is, its name in there."""

    distribution: str
    path: str
    name: str


@dataclasses.dataclass(frozen=True)
class Document:
    """The English of one Python file.

    Attributes:
      distribution: Normalized name of the distribution it belongs to.
      name: Path of the file below site-packages.
      docstrings: Sentences of each docstring.
    """

    distribution: str
    name: str
    docstrings: list[list[str]]


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


def main(_: Sequence[str]) -> None:
    folders = FLAGS.site_packages or default_site_packages()
    distributions = dependency_tree(folders)
    inputs = {
        "distributions": {name: found.version for name, found in distributions.items()},
        "flags": {name: FLAGS[name].value for name in IDENTITY_FLAGS},
    }
    if is_complete(FLAGS.output_dir, inputs):
        logging.info("%s is complete already.", os.path.join(FLAGS.output_dir, MANIFEST))
        return

    documents, counts = read_documents(source_files(distributions))
    documents, shared = deduplicate(documents)
    split = make_task(
        documents, shared, FLAGS.train_size, FLAGS.dev_size, FLAGS.test_size, FLAGS.random_seed
    )
    lm_documents = pretraining_documents(
        documents, split.held_out_files, FLAGS.max_lm_words, FLAGS.random_seed
    )
    vocabulary = learn_vocabulary(itertools.chain.from_iterable(lm_documents), FLAGS.vocab_size)
    write_corpus(FLAGS.output_dir, lm_documents, split, vocabulary, inputs, counts)


def default_site_packages() -> list[str]:
    """The package folders of the running interpreter."""
    return list(dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]))


def dependency_tree(
    folders: Sequence[str],
) -> dict[str, importlib.metadata.Distribution]:
    """The libraries of the task and, step by step, what they require, sorted by normalized name.

    What else an environment holds (tools, other projects) is left out, so that the same versions of
    the dependencies give the same text.

    Args:
      folders: Where packages are installed.

    Raises:
      UserError: A library of the task is not installed there.
    """
    installed: dict[str, importlib.metadata.Distribution] = {}
    for distribution in importlib.metadata.distributions(path=list(folders)):
        installed.setdefault(_normalized(distribution.metadata["Name"]), distribution)
    wanted = [name for library in LIBRARIES.values() for name in library.distributions]
    for name in wanted:
        if name not in installed:
            raise UserError(
                f"{', '.join(folders)}: the package {name} is not installed; install the packages "
                "of requirements.lock or point --site_packages to where they are."
            )
    tree = {}
    while wanted:
        name = wanted.pop()
        if name in tree or name not in installed:
            continue
        tree[name] = installed[name]
        for requirement in installed[name].requires or []:
            required, _, marker = requirement.partition(";")
            if "extra" not in marker:
                wanted.append(_normalized(re.split(r"[^\w.-]", required.strip(), maxsplit=1)[0]))
    return dict(sorted(tree.items()))


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


_SKIPPED_FOLDERS = {
    *("test", "tests", "testing", "_test", "_tests", "_testing"),
    # Other projects' code, carried along.
    *("_vendor", "_vendored", "vendored", "externals", "third_party"),
    *("array_api_compat", "array_api_extra"),
}
_TEST_FILE = re.compile(r"test_.*|.*_tests?|conftest|.*_test_\w*|.*_pb2(_grpc)?")


def source_files(
    distributions: Mapping[str, importlib.metadata.Distribution],
) -> list[SourceFile]:
    """The Python files of packages without their tests, sorted by package and name, each once."""
    found: dict[str, SourceFile] = {}
    for distribution, package in distributions.items():
        for file in sorted(package.files or [], key=str):
            *folders, _ = file.parts
            if (
                file.suffix == ".py"
                and _SKIPPED_FOLDERS.isdisjoint(folders)
                and not _TEST_FILE.fullmatch(file.stem)
            ):
                name = file.as_posix()
                path = str(package.locate_file(file))
                found.setdefault(name, SourceFile(distribution, path, name))
    return list(found.values())


def read_documents(files: Sequence[SourceFile]) -> tuple[list[Document], dict[str, int]]:
    """Reads the English of Python files without running them.

    Returns:
      The files that hold any, in the given order, and counts: files read, files that are not valid
      Python or not there, docstrings, characters of docstrings.
    """
    documents = []
    counts = collections.Counter(files=0, unreadable_files=0, docstrings=0, docstring_characters=0)
    for file in tqdm(files, desc="Reading docstrings", unit=" files", mininterval=0.5):
        try:
            with open(file.path, "rb") as stream:
                found = docstrings(stream.read())
        except (OSError, SyntaxError, ValueError, RecursionError) as error:
            logging.debug("%s: %s", file.path, error)
            counts["unreadable_files"] += 1
            continue
        counts["files"] += 1
        counts["docstrings"] += len(found)
        counts["docstring_characters"] += sum(map(len, found))
        sentences = [english_sentences(docstring) for docstring in found]
        if any(sentences):
            documents.append(Document(file.distribution, file.name, list(filter(None, sentences))))
    if counts["unreadable_files"]:
        logging.warning("%d Python files could not be read.", counts["unreadable_files"])
    return documents, dict(counts)


def docstrings(source: bytes) -> list[str]:
    """The docstrings in a Python file and those it gives to compiled code, in their order.

    Raises:
      SyntaxError or ValueError: The file is not valid Python of the running version.
    """
    if b'"""' not in source and b"'''" not in source:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of the parser, about other people's code.
        tree = ast.parse(source)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            docstring = ast.get_docstring(node, clean=False)
            if docstring:
                found.append((node.body[0].lineno, docstring))
        elif isinstance(node, ast.Call) and _called_name(node) == "add_newdoc":
            # How NumPy and SciPy document functions written in C: name and text are arguments.
            constants = (part for argument in node.args for part in ast.walk(argument))
            texts = [
                part.value
                for part in constants
                if isinstance(part, ast.Constant) and isinstance(part.value, str)
            ]
            if texts:
                found.append((node.lineno, max(texts, key=len)))
    return [docstring for _, docstring in sorted(found)]


def _called_name(call: ast.Call) -> str | None:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else None


def english_sentences(docstring: str) -> list[str]:
    """The English sentences of a docstring in their order, markup removed, each with an end mark.

    Left out: code, doctests, formulas, tables, headings, references, names and types of parameters
    (their descriptions are kept), and whatever is too short, too long or too little made of words.
    Understands the conventions of Google, NumPy and Sphinx.
    """
    sentences: list[str] = []
    for paragraph in _paragraphs(docstring):
        for pattern, replacement in _MARKUP:
            paragraph = pattern.sub(replacement, paragraph)
        sentences += filter(_is_english, split_sentences(paragraph.strip()))
    return [sentence if sentence[-1] in ".!?" else sentence + "." for sentence in sentences]


_UNDERLINE = re.compile(r"\s*([-=~^\"'*+#.`_])\1{2,}\s*")
_LEFT_OUT_SECTIONS = {"see also", "references"}
_HEADING = re.compile(r"\s*[`\w][`\w ]{0,30}:\s*")
_DIRECTIVE = re.compile(r"\s*\.\.\s(?:(?P<name>[\w-]+)::)?(?P<text>.*)")
_PROSE_DIRECTIVES = {
    *("note", "warning", "tip", "important", "caution", "hint", "attention", "deprecated"),
}
_VERSION = re.compile(r"\s*v?\d[\w.]*")
_TABLE_OR_PROMPT = ("|", "+-", "+=", "@", "#", "$ ", "In [")
_ITEM = re.compile(r"\s*(?:[-*+\u2022]|\(?\d{1,2}[.)]|#\.)\s+")
# Google's "name (type): text" and Sphinx's ":param name: text".
_DESCRIBED = re.compile(
    r"\s*(?:[`*]*[\w.]+[`*]*(?:\s*\((?:[^()]|\([^()]*\))*\))?|:(?!r?type)\w+[^:`]*):\s+(?=\S)"
)
# NumPy's "name : type" and Sphinx's ":type name: type".
_TYPE_ONLY = re.compile(r"\s*(?:[\w.*`'\", \\/-]{1,60}\s:(?:\s.*)?|:r?type\b.*)")


def _paragraphs(docstring: str) -> Iterator[str]:
    """Yields paragraphs of prose, each on one line; items and descriptions are paragraphs too."""
    lines: list[str] = []
    hanging = False  # Whether the lines of the paragraph may be indented deeper than its first.
    paragraph_indent = 0
    for line in [*_prose_lines(inspect.cleandoc(docstring).split("\n")), ""]:
        indent = len(line) - len(line.lstrip())
        item = _ITEM.match(line)
        start = item.end() if item else 0
        described = _DESCRIBED.match(line, start)
        begins = bool(item or described)
        continues = indent == paragraph_indent or (hanging and indent > paragraph_indent)
        if lines and (not line.strip() or begins or not continues):
            yield " ".join(lines)
            lines = []
        if not lines:
            paragraph_indent, hanging = indent, begins
        if line.strip():
            lines.append(line[described.end() if described else start :].strip())


def _prose_lines(lines: Sequence[str]) -> Iterator[str]:
    """Yields lines without what cannot be prose; an empty line stands for each gap."""
    block_indent: int | None = None  # Of the line whose deeper lines are being left out.
    in_fence = in_doctest = in_left_out_section = False
    for line, following in itertools.zip_longest(lines, lines[1:], fillvalue=""):
        text = line.strip()
        indent = len(line) - len(line.lstrip())
        if text.startswith(("```", "~~~")) and not text[3:].endswith(text[:3]):
            in_fence = not in_fence
            text = ""
        if block_indent is not None and text and indent <= block_indent:
            block_indent = None
        if not text:
            in_doctest = False
        elif text.startswith(">>>"):
            in_doctest = True
        directive = _DIRECTIVE.fullmatch(line)
        if _UNDERLINE.fullmatch(following) and text:
            in_left_out_section = text.lower() in _LEFT_OUT_SECTIONS
            yield ""
        elif in_fence or in_doctest or in_left_out_section or block_indent is not None or not text:
            yield ""
        elif directive:
            yield ""
            if directive["name"] in _PROSE_DIRECTIVES:
                yield " " * indent + "- " + _VERSION.sub("", directive["text"], count=1)
            else:
                block_indent = indent
        elif (
            text.startswith(_TABLE_OR_PROMPT)
            or _UNDERLINE.fullmatch(line)
            or _HEADING.fullmatch(line)
            or (_TYPE_ONLY.fullmatch(line) and not _DESCRIBED.match(line))
        ):
            yield ""
        else:
            yield line
            if text.endswith("::"):
                block_indent = indent


_MARKUP = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r":[\w:+-]+:`([^`<]*?)\s*<[^`>]*>`", r"\1"),  # :ref:`text <target>`
        (r":[\w:+-]+:`[~!]?([^`]*)`", r"`\1`"),  # :class:`~package.Name`
        (r"`([^`<]+?)\s*<[^`>]*>`_{0,2}", r"\1"),  # `text <address>`_
        (r"!?\[([^\]\[]*)\]\((?:[^()]|\([^()]*\))*\)", r"\1"),  # [text](address)
        (r"\s?\[#?[\w-]*\]_", ""),  # [1]_
        (r"`~?([^`]*)`(?:__?(?!\w))?", r"\1"),
        (r"`", ""),
        (r"\*\*([^*]+)\*\*", r"\1"),
        (r"(?<![\w*])\*(\w(?:[^*]*[\w.])?)\*(?![\w*])", r"\1"),
        (r"\|([A-Za-z][\w.]*)\|", r"\1"),  # |substitution|
        (r"\s+", " "),
    )
]
_NOT_ENGLISH = re.compile(r"[\\{}|^]|::|://|[%$][({]|TODO|--|==")
_MIN_WORDS, _MAX_WORDS = 4, 60
_MIN_LETTERS = 0.8  # Share of the characters that are not spaces.
_FUNCTION_WORD = re.compile(
    r"\b(?:a|all|an|and|any|are|as|at|be|been|by|can|each|for|from|has|have|if|in|into|is|it|its|may|"
    r"must|not|of|on|one|only|or|same|set|should|than|that|the|then|these|this|to|use|used|using|was|"
    r"when|where|which|will|with|you|your)\b",
    re.IGNORECASE,
)


def _is_english(sentence: str) -> bool:
    words = sentence.split()
    if not _MIN_WORDS <= len(words) <= _MAX_WORDS or _NOT_ENGLISH.search(sentence):
        return False
    if not (sentence[0].isalnum() or sentence[0] in "\"'(") or sentence[-1] in ",;:(-":
        return False
    if sum(map(str.isalpha, sentence)) < _MIN_LETTERS * sum(map(len, words)):
        return False
    return _FUNCTION_WORD.search(sentence) is not None


def sentence_key(sentence: str) -> str:
    """What two sentences share that differ in case, digits, punctuation or spaces only."""
    return " ".join(re.findall(r"[^\W\d_]+", sentence.lower()))


def deduplicate(documents: Iterable[Document]) -> tuple[list[Document], set[str]]:
    """Keeps the first of the sentences with the same key.

    Returns:
      The documents with what is left of them, and the keys of the sentences that stand in more than
      one library of the task, which therefore say nothing about the library.
    """
    owners: dict[str, str | None] = {}
    seen: set[str] = set()
    shared: set[str] = set()
    libraries = _libraries_by_distribution()
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


def _libraries_by_distribution() -> dict[str, str]:
    return {
        distribution: label
        for label, library in LIBRARIES.items()
        for distribution in library.distributions
    }


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
    libraries = _libraries_by_distribution()
    for document in documents:
        label = libraries.get(document.distribution)
        if label and not _KERAS_COPY.match(document.name):
            texts[label][document.name] = task_texts(document, shared)

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
                found = by_file[file]
                chosen += rng.sample(found, min(len(found), _MAX_HELD_OUT_PER_FILE))
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
            if run and not (usable and _num_words([*run, sentence]) <= _MAX_TEXT_WORDS):
                if _MIN_TEXT_WORDS <= _num_words(run) <= _MAX_TEXT_WORDS:
                    texts.append(" ".join(run))
                run = []
            if usable:
                run.append(sentence)
    return texts


def _num_words(sentences: Iterable[str]) -> int:
    return sum(len(sentence.split()) for sentence in sentences)


def pretraining_documents(
    documents: Sequence[Document], held_out_files: set[str], max_words: int | None, seed: int
) -> list[list[str]]:
    """The sentences of each document to pre-train on.

    A document is a file, not a docstring: most docstrings are too short to hold a next sentence.

    Args:
      documents: Documents without repeated sentences.
      held_out_files: Files to leave out.
      max_words: Where to stop, in documents in random order; None takes all in the given order.
      seed: Decides the random order.
    """
    flat = [
        list(itertools.chain.from_iterable(document.docstrings))
        for document in documents
        if document.name not in held_out_files
    ]
    flat = [sentences for sentences in flat if len(sentences) > 1]
    if max_words is None:
        return flat
    random.Random(seed).shuffle(flat)
    totals = itertools.accumulate(map(_num_words, flat))
    return [sentences for sentences, total in zip(flat, totals, strict=True) if total <= max_words]


def learn_vocabulary(sentences: Iterable[str], vocab_size: int) -> list[str]:
    """Learns an uncased WordPiece vocabulary of about `vocab_size` entries, special ones first."""
    chunks: collections.Counter[str] = collections.Counter()
    for sentence in sentences:
        chunks.update(sentence.split())
    words: collections.Counter[str] = collections.Counter()
    for chunk, count in chunks.items():
        for word in basic_tokenize(chunk, do_lower_case=True):
            words[word] += count
    frequent = [(word, count) for word, count in words.items() if count >= _MIN_WORD_COUNT]
    logging.info("Learning WordPieces on %d different words.", len(frequent))

    from tensorflow_text.tools.wordpiece_vocab import wordpiece_tokenizer_learner_lib

    return wordpiece_tokenizer_learner_lib.learn(
        sorted(frequent),
        vocab_size=vocab_size,
        reserved_tokens=list(SPECIAL_TOKENS),
        max_input_tokens=-1,
    )


def is_complete(output_dir: str, inputs: Mapping[str, Any]) -> bool:
    """Whether a folder holds all files, made of the same inputs."""
    manifest = os.path.join(output_dir, MANIFEST)
    return all(exists(os.path.join(output_dir, name)) for name in (*OUTPUTS, MANIFEST)) and (
        read_json(manifest)["inputs"] == inputs
    )


def write_corpus(
    output_dir: str,
    lm_documents: Sequence[Sequence[str]],
    split: TaskSplit,
    vocabulary: Sequence[str],
    inputs: Mapping[str, Any],
    counts: Mapping[str, int],
) -> None:
    """Writes all files; the manifest last, so an unfinished folder is not taken for complete."""
    manifest = os.path.join(output_dir, MANIFEST)
    if exists(manifest):
        remove(manifest)
    make_folder(os.path.join(output_dir, "task"))
    texts = {
        "lm.txt": "\n".join("".join(f"{line}\n" for line in lines) for lines in lm_documents),
        "vocab.txt": "".join(f"{piece}\n" for piece in vocabulary),
        "transfer.txt": "".join(f"{text}\n" for text in split.transfer),
    }
    for part in ("train", "dev", "test"):
        rows = [("label", "sentence"), *getattr(split, part)]
        texts[os.path.join("task", f"{part}.tsv")] = "".join(f"{a}\t{b}\n" for a, b in rows)
    for name in OUTPUTS:
        write_text(os.path.join(output_dir, name), texts[name])
    summary = {
        **counts,
        "lm_documents": len(lm_documents),
        "lm_sentences": sum(map(len, lm_documents)),
        "lm_words": sum(map(_num_words, lm_documents)),
        "lm_bytes": len(texts["lm.txt"].encode("utf-8")),
        "train": len(split.train),
        "dev": len(split.dev),
        "test": len(split.test),
        "transfer": len(split.transfer),
        "vocabulary": len(vocabulary),
    }
    write_json(manifest, {"inputs": inputs, "labels": sorted(LIBRARIES), "counts": summary})
    logging.info("Wrote %s: %s", output_dir, json.dumps(summary))


if __name__ == "__main__":
    flags.mark_flag_as_required("output_dir")
    cli.run(main)
