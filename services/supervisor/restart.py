"""How long to wait before a part that died is started again: not at all, unless it dies again and again."""

from __future__ import annotations

from dataclasses import dataclass

_SETTLED = 10.0
_FIRST = 0.1
_LONGEST = 5.0
_LONGEST_OF_WORKING = 1.0
"""Somebody else kills it, or one request does: with its start it is still back within two seconds."""


@dataclass(slots=True)
class Backoff:
    deaths: int = 0
    """In a row, each within seconds of its start."""

    def died(self, lived: float, *, worked: bool = False) -> float:
        """Seconds to wait, after a life of `lived` seconds in which it became ready or did not."""
        self.deaths = 1 if lived >= _SETTLED else self.deaths + 1
        if self.deaths <= 1:
            return 0.0
        longest = _LONGEST_OF_WORKING if worked else _LONGEST
        return float(min(longest, _FIRST * 2 ** (self.deaths - 2)))
