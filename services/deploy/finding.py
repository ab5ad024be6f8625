"""What the preflight has found, and that it lets nothing start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    name: str
    detail: str
    ok: bool = True
    remedy: str = ""
    fatal: bool = True
    """Whether the phase cannot come up with it."""
    is_port: bool = False


class Refused(Exception):
    """Nothing was started; the findings say why."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("the preflight found what would hinder it")
        self.findings = findings

    @property
    def ports_alone(self) -> bool:
        return all(finding.is_port for finding in self.findings)
