"""The scales at which the paper can be reproduced: its own, and one for two cores."""

from __future__ import annotations

from experiments.commands import Schedule
from experiments.paper.artifacts import PaperTask, Pretraining, Scale
from experiments.paper.catalogue import PD, PF, artifacts

_NLI = ("--task_name=tsv", "--text_a=premise", "--text_b=hypothesis", "--label=label")
_WIDTHS = {128: 3e-4, 256: 3e-4, 512: 1e-4, 768: 5e-5}
_FEW = (500, 2000, 8000)
# What shortens the plateau of a small model (docs/results.md): flags of every pre-training, and of
# those that start from random weights.
_PLATEAU = (("--dropout_prob=0",), ("--init_local_attention",))
_PRETRAINING_RATES = {128: 2e-3, 256: 1e-3}

SMALL = Scale(
    tasks={
        **{
            f"sst-2-{n}": PaperTask(
                f"SST-2, {n:,} labels",
                ("--task_name=SST-2",),
                "sst-2",
                ("movie_reviews",),
                n,
                40_000 + 67_349 - n,
                64,
                label_epochs=max(4.0, 16_000 / n),
                distill_epochs=2.0,
                num_labels=n,
            )
            for n in _FEW
        },
        "sst-2": PaperTask(
            "SST-2",
            ("--task_name=SST-2",),
            "sst-2",
            ("movie_reviews",),
            67_349,
            40_000,
            64,
            label_epochs=2.0,
            distill_epochs=2.0,
            teacher_epochs=1.0,
        ),
        "nli": PaperTask("NLI", _NLI, "nli", ("sentence_pairs",), 22_474, 66_000, 64),
        "rte": PaperTask(
            "RTE", ("--task_name=RTE",), "rte", ("sentence_pairs",), 2_490, 66_000, 128, 10.0
        ),
        "mrpc": PaperTask(
            "MRPC", ("--task_name=MRPC",), "mrpc", ("sentence_pairs",), 3_668, 66_000, 128, 10.0
        ),
        "book-reviews": PaperTask(
            "Book Reviews",
            ("--task_name=book-reviews",),
            "book_reviews",
            ("book_reviews", "amazon_books_reviews"),
            10_000,
            22_000,
        ),
    },
    pretraining=Pretraining(
        ("wikipedia", "books", "movie_reviews"),
        64,
        32,
        _PRETRAINING_RATES,
        24_000,
        ("--do_sentence_split", "--dupe_factor=2"),
        *_PLATEAU,
    ),
    transfer_pretraining=Pretraining(
        (),
        64,
        32,
        _PRETRAINING_RATES,
        12_000,
        ("--input_format=transfer_set", "--dupe_factor=10"),
        *_PLATEAU,
    ),
    distilled_steps=12_000,
    teacher=Schedule(5e-5, 3.0),
    teacher_size="6/384",
    learning_rates=_WIDTHS,
    final=Schedule(5e-5, 3.0),
    batch_size=32,
    shard=500,
    seeds={"2/128": 5},
    deep={128: "8/128", 256: "8/256"},
    artifacts=artifacts(
        sizes=("2/128", "4/256"),
        grid=("2/128", "4/128", "8/128", "2/256", "4/256"),
        figure5=("2/128", "4/128"),
        depth=("8/128", "2/256"),
        pairs="nli",
        sentiment="sst-2-2000",
        reviews="book-reviews",
        compared=("nli", "book-reviews", "sst-2-2000"),
        table3=("4/128", "8/128", ("sst-2-8000", "mrpc", "nli", "rte")),
        figure8=("2/128",),
        numbers=(1000, 4000, 16_000),
        domains=("wikipedia", "amazon_electronics_reviews", "movie_reviews", "book_reviews"),
        domain_texts=5_500,
        figure9_size="2/128",
        few_labels=(*(f"sst-2-{n}" for n in _FEW), "sst-2"),
    ),
    vocab_size=8000,
)

_PUBLISHED_RATES = dict.fromkeys(_WIDTHS, 1e-4)
_GRID = tuple(f"{layers}/{width}" for width in (128, 256, 512, 768) for layers in range(2, 13, 2))
_GLUE = {
    "sst-2": ("SST-2", 67_349, 68_000, ("movie_reviews",), 1_700_000),
    "mrpc": ("MRPC", 3_668, 0, ("nli",), 1_300_000),
    "qqp": ("QQP", 363_846, 0, ("nli",), 1_300_000),
    "mnli": ("MNLI", 392_702, 390_000, ("nli",), 1_300_000),
    "qnli": ("QNLI", 104_743, 0, ("nli",), 1_300_000),
    "rte": ("RTE", 2_490, 2_500, ("nli",), 1_300_000),
}
# The published values of Table 3's dev rows.
_TABLE3 = {
    PF.label: ("91.1", "87.9/82.5", "86.6/90.0", "81.1/81.7", "87.8", "63.0"),
    PD.label: ("91.1", "89.4/84.9", "87.4/90.7", "82.5/83.4", "89.4", "66.7"),
    "DistilBERT": ("92.7", "88.3/82.4", "87.7/90.6", "81.6/81.1", "85.5", "60.0"),
}

PAPER = Scale(
    tasks={
        **{
            key: PaperTask(title, (f"--task_name={title}",), key, transfer, train, texts)
            for key, (title, train, _, transfer, texts) in _GLUE.items()
        },
        "book-reviews": PaperTask(
            "Amazon Book Reviews",
            ("--task_name=book-reviews",),
            "book_reviews",
            ("book_reviews",),
            50_000,
            8_000_000,
            512,
            distill_epochs=1.0,
        ),
    },
    pretraining=Pretraining(
        ("wikipedia", "books"),
        128,
        256,
        _PUBLISHED_RATES,
        1_000_000,
        ("--do_sentence_split", "--dupe_factor=5"),
    ),
    transfer_pretraining=Pretraining(
        (), 128, 256, _PUBLISHED_RATES, 100_000, ("--input_format=transfer_set", "--dupe_factor=10")
    ),
    distilled_steps=1_000_000,
    teacher=Schedule(3e-5, 3.0),
    teacher_size="24/1024",
    learning_rates=_WIDTHS,
    final=Schedule(3e-5, 3.0),
    batch_size=32,
    shard=100_000,
    seeds=dict.fromkeys(_GRID, 5),
    deep={width: f"12/{width}" for width in (128, 256, 512, 768)},
    artifacts=artifacts(
        sizes=("2/128", "4/256", "4/512", "8/512", "12/768"),
        grid=_GRID,
        figure5=("2/128", "4/256", "4/512", "8/512"),  # 12/768 is the deepest of its width.
        depth=("6/512", "2/768"),
        pairs="mnli",
        sentiment="sst-2",
        reviews="book-reviews",
        compared=("mnli", "rte", "book-reviews"),
        table3=("6/768", "12/768", tuple(_GLUE)),
        figure8=("2/128", "4/256", "4/512", "8/512", "12/768"),
        numbers=(1_000_000, 2_000_000, 4_000_000, 8_000_000),
        domains=("wikipedia", "electronics_reviews", "movie_reviews", "book_reviews"),
        domain_texts=1_700_000,
        figure9_size="4/256",
        published={
            (row, task): value
            for row, values in _TABLE3.items()
            for task, value in zip(_GLUE, values, strict=True)
        },
    ),
)
SCALES = {"small": SMALL, "paper": PAPER}
