"""Figures over several seeds, and the rows of tables of them."""

from __future__ import annotations

import dataclasses
import math
import statistics
from typing import Any


@dataclasses.dataclass(frozen=True)
class Score:
    """A figure over several seeds.

    Attributes:
      values: One per seed.
      digits: Behind the point, where it is printed.
    """

    values: tuple[float, ...]
    digits: int = 1

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation, None for a single value."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    @property
    def interval(self) -> float | None:
        """Half the width of the 95 % interval of the mean (Student's t), None for a single value."""
        if self.deviation is None:
            return None
        from scipy import stats

        number = len(self.values)
        return float(stats.t.ppf(0.975, number - 1)) * self.deviation / math.sqrt(number)

    def __str__(self) -> str:
        spread = "" if self.deviation is None else f" ± {self.deviation:.{self.digits}f}"
        return f"{self.mean:.{self.digits}f}{spread}"

    def to_json(self) -> dict[str, Any]:
        return {"values": self.values, "mean": self.mean, "deviation": self.deviation}


@dataclasses.dataclass(frozen=True)
class Row:
    """Models that differ in their seeds only.

    Attributes:
      dev: Score on the development set in percent: the task's metric, or the mean of two.
      test: Of the test set, where its labels are known.
      parameters: Of encoder and pooler.
    """

    dev: Score
    test: Score | None
    parameters: int

    def to_json(self) -> dict[str, Any]:
        test = self.test.to_json() if self.test else None
        return {"dev": self.dev.to_json(), "test": test, "parameters": self.parameters}
