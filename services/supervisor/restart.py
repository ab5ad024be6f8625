"""How long to wait before a part that died is started again: not at all, unless it dies again and again."""

from __future__ import annotations

from dataclasses import dataclass

_SETTLED = 10.0
_FIRST = 0.1
_LONGEST = 5.0


@dataclass(slots=True)
class Backoff:
    deaths: int = 0
    """In a row, each within seconds of its start."""

    def died(self, lived: float) -> float:
        """Seconds to wait, after a life of `lived` seconds."""
        self.deaths = 1 if lived >= _SETTLED else self.deaths + 1
        if self.deaths <= 1:
            return 0.0
        return float(min(_LONGEST, _FIRST * 2 ** (self.deaths - 2)))
