"""What a benchmark yields: figures with their goals, a line each, and how samples become figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from statistics import median
from typing import Any


class Goal(StrEnum):
    AT_LEAST = "at least"
    AT_MOST = "at most"


@dataclass(frozen=True, slots=True)
class Figure:
    name: str
    unit: str
    ours: float
    other: float | None
    """What it is compared with, measured in the same run; None where the goal is a plain bound."""
    goal: Goal
    bound: float
    """Of the ratio where `compared` says so, else of `ours`."""
    compared: bool = False
    samples: int = 1

    @property
    def ratio(self) -> float | None:
        return self.ours / self.other if self.other else None

    @property
    def met(self) -> bool:
        value = self.ratio if self.compared else self.ours
        if value is None or math.isnan(value):
            return False
        return value >= self.bound if self.goal is Goal.AT_LEAST else value <= self.bound

    def line(self) -> str:
        unit = "x" if self.compared else self.unit
        other = "-" if self.other is None else f"{self.other:,.3g} {self.unit}"
        ratio = "-" if self.ratio is None else f"{self.ratio:.3f}"
        return (
            f"{self.name:<44} {f'{self.ours:,.4g} {self.unit}':>16} {other:>16} {ratio:>8} "
            f"{f'{self.goal} {self.bound:g} {unit}':>20}  {'met' if self.met else 'MISSED'}  (n={self.samples})"
        )

    def record(self) -> dict[str, Any]:
        return asdict(self) | {"ratio": self.ratio, "met": self.met}


HEADING = f"{'figure':<44} {'ours':>16} {'other':>16} {'ratio':>8} {'goal':>20}"


def quantile(samples: Sequence[float], share: float) -> float:
    """The sample below which `share` of all lie; p99 of 200 is the second largest but one."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def middle(samples: Sequence[float]) -> float:
    return median(samples)
