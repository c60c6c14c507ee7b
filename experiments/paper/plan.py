"""From the students of the paper's figures to one graph of commands; nothing is done twice."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping

from experiments.commands import CommandGraph, Schedule, Start, random_start, trained_start
from experiments.paper.artifacts import (
    LABELLED_SET,
    Artifact,
    PaperTask,
    Pretraining,
    Scale,
    Student,
    layers_and_width,
)
from experiments.paper.estimates import (
    VOCAB_SIZE,
    Machine,
    labelling_seconds,
    training_seconds,
)
from experiments.paper.facts import facts
from experiments.students import (
    STRATEGIES,
    TEACHER,
    TaskModels,
    TaskSettings,
    first_shards,
    is_distilled,
    record_files,
)

# The three teachers of a task, of which the median one labels.
TEACHER_SEEDS = ("1", "2", "3")
SIMILARITY_FILE = "similarity.json"
# Columns of the tables that `experiments.label_subset` writes.
OWN_COLUMNS = ("--task_name=tsv", "--text_a=text_a", "--label=label")


@dataclasses.dataclass(frozen=True)
class Paths:
    """Paths of the data; a missing one is its name in angle brackets.

    Attributes:
      vocab_file: WordPiece vocabulary of all models. Without it, at a scale that learns one for
        the students, the teacher reads the vocab.txt in its folder.
      texts: Name -> files of unlabelled text.
      tasks: Name -> folder of a labelled task.
      teacher: Pre-trained teacher.
      students: Layers/width -> pre-trained student; the others are pre-trained here.
    """

    vocab_file: str = "<vocab_file>"
    texts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tasks: Mapping[str, str] = dataclasses.field(default_factory=dict)
    teacher: str = "<teacher>"
    students: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def text(self, name: str) -> str:
        return self.texts.get(name, f"<texts: {name}>")

    def task(self, name: str) -> str:
        return self.tasks.get(name, f"<tasks: {name}>")


class PaperPlan:
    """The commands of some artifacts. Methods add what is missing and return folders.

    Args:
      scale: Tasks, sizes and settings.
      paths: The data.
      output_dir: Of all runs.
      precision: float32 or bfloat16.
      machine: The machine that it is to run on, for estimates.
    """

    def __init__(
        self, scale: Scale, paths: Paths, output_dir: str, precision: str, machine: Machine
    ):
        self.scale, self._paths, self._machine = scale, paths, machine
        self.graph = CommandGraph(output_dir, paths.vocab_file, precision)
        # Students that are given have a vocabulary of their own, which must be given as well.
        self._learns_vocabulary = (
            bool(scale.vocab_size) and paths.vocab_file == Paths.vocab_file and not paths.students
        )

    def add(self, name: str, artifact: Artifact) -> list[str]:
        """Adds all commands of an artifact, seed by seed, so that a part of them is a result.

        Returns:
          The folders that the artifact is made from.
        """
        folders = []
        if name == "table1":
            output = f"--output_dir={self.graph.folder(name)}"
            precision = self.graph.precision
            speed = self.graph.add(name, "benchmark_models.py", output, precision, start_over=())
            folders.append(self.graph.estimate(speed, 600))
        students = list(dict.fromkeys(students_of(artifact)))
        for seed in range(1, max((self.scale.num_seeds(s.size) for s in students), default=0) + 1):
            for student in students:
                if seed <= self.scale.num_seeds(student.size):
                    folders.append(self.student(student, str(seed)))
        for panel in artifact.panels:
            if panel.axis == "transfer":
                line = panel.lines[0]
                folders += [self.similarity(panel.student(line, point)) for point in panel.points]
        return folders

    def facts(self, artifact: Artifact) -> dict[str, str]:
        """Facts about the making of an artifact's models, for its report."""
        students = list(students_of(artifact))
        return facts(students, self.scale, tuple(self._paths.students), self._learns_vocabulary)

    def models(self, student: Student) -> list[str]:
        """One folder a seed."""
        seeds = range(1, self.scale.num_seeds(student.size) + 1)
        return [self.student(student, str(seed)) for seed in seeds]

    def student(self, student: Student, seed: str) -> str:
        """The model of a student with one seed."""
        if self._learns_vocabulary:
            texts = ",".join(map(self._paths.text, self.scale.pretraining.texts))
            self.graph.vocabulary("vocabulary", texts, self.scale.vocab_size)
        strategy, distilled = STRATEGIES[student.strategy], is_distilled(student.strategy)
        if not distilled:
            # Without soft labels it is the same student whatever the transfer set.
            teacher = student.teacher if student.start in ("truncated", "distilled") else ""
            student = dataclasses.replace(student, transfer="", texts=0, teacher=teacher)
        elif (student.transfer,) == self.scale.tasks[student.task].transfer:
            student = dataclasses.replace(student, transfer="")
        start = () if strategy.start == "random" else self._start(student)
        starts = dict.fromkeys(("pre-trained", "truncated"), start)
        starts["random"] = random_start(student.size)
        parts = [student.start, student.transfer, str(student.texts or ""), student.teacher]
        variant = "".join(f"_{part}" for part in parts if part)
        epochs = None
        if student.texts:
            # Whatever the number of texts, a student sees as many as of the whole transfer set.
            task = self.scale.tasks[student.task]
            epochs = task.distill_epochs * task.num_transfer / student.texts
        soft_labels = self._soft_labels(student) if distilled else ""
        models = self._models(student.task, student.size)
        folder = models.student(student.strategy, starts, soft_labels, seed, _name(variant), epochs)
        return self._estimate(folder, student.task, student.size, self._examples(student))

    def teacher(self, task: str, size: str = "") -> str:
        """The teacher of a task: of three seeds, the median one on the development set.

        Args:
          task: Its key.
          size: Of a teacher that is pre-trained, and fine-tuned, like the students; "" for the given
            one.
        """
        if size:
            runs = [self.student(Student(task, size, "PF"), seed) for seed in TEACHER_SEEDS]
        else:
            models = self._models(task, "teacher")
            start = trained_start(self._paths.teacher)
            described = self.scale.tasks[task]
            examples = described.num_train * described.teacher_epochs
            folders = [models.teacher(start, seed, f"seed{seed}") for seed in TEACHER_SEEDS]
            runs = [
                self._estimate(folder, task, self.scale.teacher_size, examples)
                for folder in folders
            ]
        name = _name(f"{task}_teacher{size}")
        output = f"--output_dir={self.graph.folder(name)}"
        return self.graph.add(
            name, "experiments.median_run", f"--runs={','.join(runs)}", output, start_over=()
        )

    def _models(self, task: str, size: str) -> TaskModels:
        scale, described = self.scale, self.scale.tasks[task]
        width = layers_and_width(size)[1] if size[0].isdigit() else 0
        rate = scale.learning_rates.get(width, scale.teacher.learning_rate)
        settings = TaskSettings(
            self._task_flags(task),
            described.seq_length,
            scale.batch_size,
            dataclasses.replace(scale.teacher, epochs=described.teacher_epochs),
            Schedule(rate, described.label_epochs),
            Schedule(rate, described.distill_epochs),
            scale.final,
            teacher_vocab_file=(
                os.path.join(self._paths.teacher, "vocab.txt") if self._learns_vocabulary else ""
            ),
        )
        return TaskModels(self.graph, settings, _name(f"{task}_{size}_"))

    def _examples(self, student: Student) -> float:
        """Examples that a student's last command sees."""
        task = self.scale.tasks[student.task]
        strategy = STRATEGIES[student.strategy]
        if strategy.start in STRATEGIES:
            return task.num_train * self.scale.final.epochs
        if strategy.learns_from != TEACHER:
            return task.num_train * task.label_epochs
        if student.transfer == LABELLED_SET:
            return task.num_train * task.distill_epochs
        return (task.num_train + task.num_transfer) * task.distill_epochs

    def _estimate(self, folder: str, task: str, size: str, examples: float) -> str:
        # Batches hold examples of similar length; half of the greatest length is what is left.
        tokens = self.scale.tasks[task].seq_length / 2
        batch = self.scale.batch_size
        seconds = training_seconds(self._machine, size, examples, batch, tokens)
        return self.graph.estimate(folder, seconds)

    # Pre-training.

    def _pretrained(self, size: str) -> str:
        """The pre-trained model of a size: the given one, or one that is pre-trained here."""
        if size in self._paths.students:
            return self._paths.students[size]
        start = random_start(size)
        return self._pretrain("lm", self.scale.pretraining, size, start, f"lm_{size}")

    def _pretrain(
        self, corpus: str, settings: Pretraining, size: str, start: Start, name: str
    ) -> str:
        files = ",".join(settings.files or map(self._paths.text, settings.texts))
        length = settings.seq_length
        records = self.graph.pretraining_records(
            f"{corpus}_records", files, length, *settings.records
        )
        batch, steps = settings.batch_size, settings.steps
        rate = settings.learning_rates[layers_and_width(size)[1]]
        initialization = settings.initialization if start == random_start(size) else ()
        folder = self.graph.pretraining(
            *(_name(name), start, records, length, batch, rate, steps),
            *settings.training,
            *initialization,
        )
        predictions = 0.15 * length
        vocab_size = self.scale.vocab_size if self._learns_vocabulary else VOCAB_SIZE
        seconds = training_seconds(
            self._machine, size, steps * batch, batch, length, predictions, vocab_size
        )
        return self.graph.estimate(folder, seconds)

    def _start(self, student: Student) -> Start:
        """The flags of what a student starts from."""
        layers_width = student.size
        smaller = f"--bert_config_file={layers_width}"
        if student.start == "transfer text":
            texts = self._transfer_set(student.task)
            settings = dataclasses.replace(self.scale.transfer_pretraining, files=(texts,))
            name = f"{student.task}_lm_{layers_width}"
            start = random_start(layers_width)
            return trained_start(
                self._pretrain(f"{student.task}_lm", settings, layers_width, start, name)
            )
        source = self.scale.source_size(student)
        if student.start == "truncated":
            bottom = "--init_strategy=truncate_bottom"
            return (*trained_start(self._pretrained(source)), smaller, bottom)
        if student.start == "embeddings":
            one_layer = trained_start(self._pretrained(source))
            return (*one_layer, smaller, "--init_strategy=embeddings_only")
        if student.start == "distilled":
            teacher = self._pretrained(source)
            # As DistilBERT was made: one layer out of two.
            every_other = "--init_strategy=truncate_every_other"
            start = (*trained_start(teacher), smaller, every_other, f"--teacher={teacher}")
            name = f"lm_{layers_width}_distilled-{source}"
            settings = dataclasses.replace(self.scale.pretraining, steps=self.scale.distilled_steps)
            return trained_start(self._pretrain("lm", settings, layers_width, start, name))
        return trained_start(self._pretrained(source))

    # The data of a task.

    def _is_prepared(self, task: PaperTask) -> bool:
        """Whether scripts read what `experiments.label_subset` makes of the task's data."""
        return bool(task.num_labels) or "--task_name=tsv" in task.flags

    def _task_flags(self, task: str) -> tuple[str, ...]:
        described = self.scale.tasks[task]
        folder = self._paths.task(described.data)
        if not self._is_prepared(described):
            return (*described.flags, f"--data_dir={folder}")
        name = f"{task}_data"
        prepared = self.graph.add(
            name,
            "experiments.label_subset",
            *described.flags,
            f"--data_dir={folder}",
            f"--num_labels={described.num_labels}",
            f"--output_dir={self.graph.folder(name)}",
            start_over=(),
        )
        columns = ("--text_b=text_b",) if any("text_b" in f for f in described.flags) else ()
        return (*OWN_COLUMNS, *columns, f"--data_dir={prepared}")

    def _task_folder(self, task: str) -> str:
        return _flag_value(self._task_flags(task)[-1])

    def _transfer_set(self, task: str, transfer: str = "", texts: int = 0) -> str:
        """A task's transfer set, or `texts` of another domain in its place: the file."""
        described, data = self.scale.tasks[task], self._task_folder(task)
        names = (transfer,) if transfer else described.transfer
        files = [self._paths.text(name) for name in names]
        if described.num_labels and not transfer:
            files.append(os.path.join(data, "unlabelled.txt"))
        if self._is_prepared(described):
            excluded = f"--exclude_file={os.path.join(data, 'dev_texts.tsv')}"
        else:
            excluded = f"--exclude_task={_flag_value(described.flags[0])}:{data}"
        name = _name(f"{task}_transfer{transfer and '_' + transfer}")
        sizes = (f"--sizes={texts}",) if transfer else ()
        source = f"--input_file={','.join(files)}"
        folder = self.graph.transfer_set(name, source, excluded, "--drop_leaks", *sizes)
        return os.path.join(folder, f"texts-{texts}.tsv" if transfer else "texts.tsv")

    def similarity(self, student: Student) -> str:
        """The folder with the similarity of a task's training texts and a student's transfer set."""
        described, data = self.scale.tasks[student.task], self._task_folder(student.task)
        source = [f"--input_task={_flag_value(described.flags[0])}:{data}"]
        if self._is_prepared(described):
            source = [f"--input_file={os.path.join(data, 'train.tsv')}", "--text_a=text_a"]
        labelled = self.graph.transfer_set(f"{student.task}_training_texts", *source)
        name = _name(f"{student.task}_similarity_{student.transfer}")
        return self.graph.add(
            name,
            "measure_similarity.py",
            f"--corpus_a={os.path.join(labelled, 'texts.tsv')}",
            f"--corpus_b={self._transfer_set(student.task, student.transfer, student.texts)}",
            f"--output_file={os.path.join(self.graph.folder(name), SIMILARITY_FILE)}",
            "--bootstrap_samples=0",
            start_over=(),
        )

    def _soft_labels(self, student: Student) -> str:
        """The files of the teacher's labels that a student learns from."""
        models = self._models(student.task, f"teacher{student.teacher}")
        teacher = self.teacher(student.task, student.teacher)
        flags = self._task_flags(student.task)
        if student.transfer == LABELLED_SET:
            depth, layers = (layers_and_width(x)[0] for x in (student.teacher, student.size))
            step = depth // layers
            hidden = ",".join(str(layer) for layer in range(step, depth, step))
            states = f"--hidden_state_layers={hidden}"
            return record_files(models.soft_labels(teacher, "", *flags, states, name="_labelled"))
        described = self.scale.tasks[student.task]
        tokens = described.seq_length / 2
        size = student.teacher or self.scale.teacher_size
        texts = self._transfer_set(student.task, student.transfer, student.texts)
        labelled = student.texts if student.transfer else described.num_transfer
        seconds = labelling_seconds(self._machine, size, labelled, tokens)
        if not student.texts:
            folder = models.soft_labels(teacher, texts, *flags)
            return record_files(self.graph.estimate(folder, seconds))
        if student.transfer:
            folder = models.soft_labels(teacher, texts, name=_name(f"_texts_{student.transfer}"))
            return record_files(self.graph.estimate(folder, seconds))
        # Of the whole set the first ones.
        shard = f"--examples_per_shard={self.scale.shard}"
        folder = models.soft_labels(teacher, texts, shard, name="_texts")
        self.graph.estimate(folder, seconds)
        return first_shards(folder, student.texts // self.scale.shard)


def students_of(artifact: Artifact) -> Iterator[Student]:
    """All students of an artifact, point by point."""
    for panel in artifact.panels:
        for point in panel.points:
            for line in panel.lines:
                yield panel.student(line, point)


def _flag_value(argument: str) -> str:
    return argument.partition("=")[2]


def _name(text: str) -> str:
    """A name of a folder."""
    return text.replace("/", "-").replace(" ", "-")
