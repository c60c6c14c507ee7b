"""Reports of the paper's artifacts: figure, table of every point, claims, single values."""

from __future__ import annotations

import dataclasses
import math
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from common.atomic import write_json, write_text
from common.figures import save_figure
from common.files import read_json
from common.machine import describe_machine
from common.markdown import table
from experiments.figures import PanelData, plot_panels
from experiments.paper.artifacts import LABELLED_SET, Artifact, Claim, Panel, Scale, Student
from experiments.scores import Score
from training.metrics_log import best_evaluation

# Seed -> score in percent.
Scores = Mapping[int, float]


@dataclasses.dataclass(frozen=True)
class Difference:
    """Of paired scores over seeds, in points.

    Attributes:
      mean: Over seeds.
      low: Lower end of the 95 % interval, by Student's t; NaN for fewer than two seeds.
      high: Upper end.
      seeds: Number of pairs.
    """

    mean: float
    low: float
    high: float
    seeds: int

    @property
    def verdict(self) -> str:
        if self.low > 0:
            return "holds"
        if self.high < 0:
            return "does not hold"
        return "cannot be told"

    def __str__(self) -> str:
        interval = f" [{self.low:+.1f}, {self.high:+.1f}]" if self.seeds > 1 else ""
        return f"{self.mean:+.1f}{interval}"


def paired_difference(higher: Scores, lower: Scores) -> Difference | None:
    """The mean difference over the seeds that both have, with its interval; None without any."""
    differences = [higher[seed] - lower[seed] for seed in sorted(higher.keys() & lower.keys())]
    if not differences:
        return None
    score = Score(tuple(differences))
    reach = math.nan if score.interval is None else score.interval
    return Difference(score.mean, score.mean - reach, score.mean + reach, len(differences))


class ArtifactReport:
    """Results of the runs of an artifact so far.

    Args:
      name: Of the artifact.
      artifact: The table or figure.
      scale: Its tasks and settings.
      models: Seed -> folder of a student's finished runs.
      teacher: The folder of a task's teacher, by task and size; None if it is not finished.
      similarity: The file about a student's transfer set, from `measure_similarity.py`; None if there
        is none yet.
    """

    def __init__(
        self,
        name: str,
        artifact: Artifact,
        scale: Scale,
        models: Callable[[Student], Mapping[int, str]],
        teacher: Callable[[str, str], str | None],
        similarity: Callable[[Student], str | None],
    ):
        self._name, self._artifact, self._scale = name, artifact, scale
        # Panel, line, point -> scores; and panel -> point -> score of the teacher.
        self._scores = {
            (panel, line, point): {
                seed: _score(folder) for seed, folder in models(panel.student(line, point)).items()
            }
            for panel in artifact.panels
            for line in panel.lines
            for point in panel.points
        }
        self._point_names = {
            (panel, point): point_name(point, scale) + _similarity(panel, point, similarity)
            for panel in artifact.panels
            for point in panel.points
        }
        self._teachers = {panel: _teacher_scores(panel, teacher) for panel in artifact.panels}

    def write(self, folder: str, facts: Mapping[str, Any]) -> str:
        """Writes NAME.md, NAME.json and, if there are panels, NAME.png and NAME.svg.

        Args:
          folder: For the files.
          facts: Settings that belong into the report, such as the command and the hours.

        Returns:
          The content of NAME.md.
        """
        claims = [self._measured(claim) for claim in self._artifact.claims]
        facts = {**facts, "seeds": self._seeds()}
        text = self._markdown(claims, facts)
        write_text(os.path.join(folder, f"{self._name}.md"), text)
        write_json(os.path.join(folder, f"{self._name}.json"), self._content(claims, facts))
        if any(self._points(panel) for panel in self._artifact.panels):
            figure = self._figure()
            for ending in ("png", "svg"):
                save_figure(figure, os.path.join(folder, f"{self._name}.{ending}"))
        return text

    def _seeds(self) -> str:
        """The number of seeds of each size, as far as there are results, and that of the plan."""
        found: dict[str, list[int]] = {}
        for (panel, line, point), scores in self._scores.items():
            if scores:
                found.setdefault(panel.student(line, point).size, []).append(len(scores))
        texts = []
        for size, counts in found.items():
            few, many = min(counts), max(counts)
            number = f"{many}" if few == many else f"{few} to {many}"
            texts.append(f"{number} of {self._scale.num_seeds(size)} planned for {size}")
        return "; ".join(texts) or "none"

    def _points(self, panel: Panel) -> dict[str, dict[str | int, Score]]:
        """Line -> point -> the scores that are there."""
        found: dict[str, dict[str | int, Score]] = {}
        for line in panel.lines:
            for point in panel.points:
                if scores := self._scores[panel, line, point]:
                    found.setdefault(line.label, {})[point] = Score(tuple(scores.values()))
        return found

    def _measured(self, claim: Claim) -> tuple[str, Difference | None]:
        """A claim, with the panel and the points it was measured at where not all; the difference."""
        panels, text = self._artifact.panels, claim.text
        if claim.panel is not None:
            panels = panels[claim.panel : claim.panel + 1]
            text = f"{panel_title(panels[0], self._scale)}: {text}"
        higher, lower = claim.higher_points, claim.lower_points
        if not higher and not lower:
            every = panels[0].points
            there = [self._points(panel) for panel in panels]
            found = [
                point
                for point in every
                if all(point in p.get(x, {}) for p in there for x in (claim.higher, claim.lower))
            ]
            if 0 < len(found) < len(every):
                higher = lower = tuple(found)
                text += f", at {', '.join(point_name(point, self._scale) for point in found)} alone"
        return text, paired_difference(
            self._mean_scores(panels, claim.higher, higher),
            self._mean_scores(panels, claim.lower, lower),
        )

    def _mean_scores(
        self, panels: Sequence[Panel], label: str, points: tuple[str | int, ...]
    ) -> dict[int, float]:
        """Seed -> mean over panels and points, for seeds that all of them have."""
        scores = []
        for panel in panels:
            line = next(line for line in panel.lines if line.label == label)
            scores += [self._scores[panel, line, point] for point in points or panel.points]
        seeds = set.intersection(*(set(s) for s in scores))
        return {seed: statistics.fmean(s[seed] for s in scores) for seed in sorted(seeds)}

    def _markdown(
        self, claims: Sequence[tuple[str, Difference | None]], facts: Mapping[str, Any]
    ) -> str:
        lines = [f"# {self._name}: {self._artifact.title}", ""]
        if self._artifact.panels:
            lines += [f"![{self._artifact.title}]({self._name}.png)", ""]
        for panel in self._artifact.panels:
            lines += [f"## {panel_title(panel, self._scale)}", "", *self._panel_table(panel), ""]
        if claims:
            rows = [
                [text, str(d) if d else "", str(d.seeds if d else 0), verdict(d)]
                for text, d in claims
            ]
            lines += ["## Claims", ""]
            lines += [*table(["claim", "difference in points", "seeds", ""], rows), ""]
            lines += [
                "Differences are means over the points of the figure, paired by seed, with a 95 % "
                "interval (Student's t over seeds). Seeds share the pre-trained model and the "
                "teacher, so an interval does not include what another pre-training or teacher would "
                "change.",
                "",
            ]
        lines += [f"* {key}: {value}" for key, value in facts.items()]
        return "\n".join(lines).rstrip() + "\n"

    def _panel_table(self, panel: Panel) -> list[str]:
        points = self._points(panel)
        rows = []
        for line in panel.lines:
            scores = points.get(line.label, {})
            rows.append([line.label, *(str(scores.get(point, "")) for point in panel.points)])
            published = [
                self._artifact.published.get((line.label, panel.fixed.task), "")
                for _ in panel.points
            ]
            if any(published):
                rows.append([f"{line.label}, the paper", *published])
        if teacher := self._teachers[panel]:
            scores_of_teacher = (teacher.get(point) for point in panel.points)
            rows.append(["Teacher", *(f"{s:.1f}" if s else "" for s in scores_of_teacher)])
        return table(["", *(self._point_names[panel, point] for point in panel.points)], rows)

    def _content(
        self, claims: Sequence[tuple[str, Difference | None]], facts: Mapping[str, Any]
    ) -> dict[str, Any]:
        return {
            "title": self._artifact.title,
            "panels": [
                {
                    "title": panel.title,
                    "axis": panel.axis,
                    "teacher": {str(p): score for p, score in self._teachers[panel].items()},
                    "lines": {
                        line.label: {
                            str(point): {str(s): v for s, v in scores.items()}
                            for point in panel.points
                            if (scores := self._scores[panel, line, point])
                        }
                        for line in panel.lines
                    },
                }
                for panel in self._artifact.panels
            ],
            "claims": [
                {
                    "text": text,
                    "verdict": verdict(difference),
                    **(dataclasses.asdict(difference) if difference else {}),
                }
                for text, difference in claims
            ],
            "machine": describe_machine(),
            **facts,
        }

    def _figure(self) -> Any:
        there = [panel for panel in self._artifact.panels if self._points(panel)]
        panels = [self._panel_data(panel) for panel in there]
        return plot_panels(self._artifact.title, panels)

    def _panel_data(self, panel: Panel) -> PanelData:
        """All lines of a panel, also those that have no points yet."""
        points, position = self._points(panel), panel.points.index
        return (
            panel_title(panel, self._scale),
            [self._point_names[panel, point] for point in panel.points],
            {
                line.label: {position(p): s for p, s in points.get(line.label, {}).items()}
                for line in panel.lines
            },
            {position(p): score for p, score in self._teachers[panel].items()},
        )


def verdict(difference: Difference | None) -> str:
    """In the words of a claim's line."""
    return difference.verdict if difference else "not measured"


def _teacher_scores(
    panel: Panel, teacher: Callable[[str, str], str | None]
) -> dict[str | int, float]:
    """Point -> score of the teacher of its students, as far as there is one."""
    students = {point: panel.student(panel.lines[0], point) for point in panel.points}
    folders = {point: teacher(s.task, s.teacher) for point, s in students.items()}
    return {point: _score(folder) for point, folder in folders.items() if folder is not None}


def _score(folder: str) -> float:
    """In percent."""
    return 100 * best_evaluation(folder)["score"]


def point_name(point: str | int, scale: Scale) -> str:
    """A point of an axis in the words of figures."""
    if isinstance(point, int):
        return f"{point:,}"
    return scale.tasks[point].title if point in scale.tasks else point.replace("_", " ")


def _similarity(panel: Panel, point: str | int, file: Callable[[Student], str | None]) -> str:
    """Spearman's coefficient of the labelled set and the transfer set, for the name of a point."""
    if panel.axis != "transfer":
        return ""
    path = file(panel.student(panel.lines[0], point))
    if path is None:
        return ""
    coefficient = read_json(path)["similarities"]["joint"]["spearman"]
    return "" if coefficient is None else f" (S={coefficient:.2f})"


def panel_title(panel: Panel, scale: Scale) -> str:
    """The task, the size where it is fixed, and the transfer set where it is another."""
    fixed = panel.fixed
    parts = [scale.tasks[fixed.task].title] if fixed.task else []
    parts += [fixed.size] if fixed.size and panel.axis != "size" else []
    parts += ["on the labelled set"] if fixed.transfer == LABELLED_SET else []
    return ", ".join(parts) or panel.title
