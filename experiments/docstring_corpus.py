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

import itertools
import json
import logging
import os
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from absl import flags

from common.atomic import write_json, write_text
from common.files import exists, make_folder, read_json, remove
from experiments.docstrings import (
    Document,
    default_site_packages,
    dependency_tree,
    read_documents,
    source_files,
)
from experiments.library_task import (
    LIBRARIES,
    TaskSplit,
    deduplicate,
    make_task,
    num_words,
    task_distributions,
)
from pretraining.vocabulary_learning import learn_vocabulary
from training import cli
from training.help import group

FLAGS = flags.FLAGS

group("Files")
flags.DEFINE_string("output_dir", None, "Folder for the corpus, the task and the vocabulary.")
flags.DEFINE_list(
    "site_packages",
    None,
    "Folders of installed packages whose docstrings are read. Default: those of this Python.",
)

group("Sizes")
flags.DEFINE_integer("train_size", 1000, "Number of training examples of the task.", lower_bound=8)
flags.DEFINE_integer("dev_size", 2000, "Number of development examples of the task.", lower_bound=8)
flags.DEFINE_integer("test_size", 2000, "Number of test examples of the task.", lower_bound=8)
flags.DEFINE_integer(
    "max_lm_words", None, "Largest number of words of pre-training text. Default: all.", 1
)
flags.DEFINE_integer(
    "vocab_size", 8000, "Size of the vocabulary to aim at; it gets 95 to 100 % of this.", 200
)
flags.DEFINE_integer("random_seed", 12345, "Seed of the split into sets and of their order.")

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


def main(_: Sequence[str]) -> None:
    folders = FLAGS.site_packages or default_site_packages()
    distributions = dependency_tree(task_distributions(), folders)
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


def pretraining_documents(
    documents: Iterable[Document], held_out_files: set[str], max_words: int | None, seed: int
) -> list[list[str]]:
    """The sentences of each document to pre-train on, documents in random order.

    A document is a file, not a docstring: most docstrings are too short to hold a next sentence.

    Args:
      documents: Documents without repeated sentences.
      held_out_files: Files to leave out.
      max_words: Documents are taken until they hold so many words; None takes all.
      seed: Decides the order.
    """
    candidates = [
        list(itertools.chain.from_iterable(document.docstrings))
        for document in documents
        if document.name not in held_out_files
    ]
    candidates = [sentences for sentences in candidates if len(sentences) > 1]
    random.Random(seed).shuffle(candidates)
    taken: list[list[str]] = []
    words = 0
    for sentences in candidates:
        if max_words is not None and words >= max_words:
            break
        taken.append(sentences)
        words += num_words(sentences)
    return taken


def is_complete(output_dir: str, inputs: Mapping[str, Any]) -> bool:
    """Whether a folder holds all files, made of the same inputs."""
    manifest = os.path.join(output_dir, MANIFEST)
    return all(exists(os.path.join(output_dir, name)) for name in (*OUTPUTS, MANIFEST)) and (
        read_json(manifest).get("inputs") == inputs
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
    remove(os.path.join(output_dir, MANIFEST))
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
        "lm_words": sum(map(num_words, lm_documents)),
        "lm_bytes": len(texts["lm.txt"].encode("utf-8")),
        "train": len(split.train),
        "dev": len(split.dev),
        "test": len(split.test),
        "transfer": len(split.transfer),
        "vocabulary": len(vocabulary),
    }
    manifest = os.path.join(output_dir, MANIFEST)
    write_json(manifest, {"inputs": inputs, "labels": sorted(LIBRARIES), "counts": summary})
    logging.info("Wrote %s: %s", output_dir, json.dumps(summary))


if __name__ == "__main__":
    flags.mark_flag_as_required("output_dir")
    cli.run(main)
