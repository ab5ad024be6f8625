"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# How long one example takes says something of the machine, not of the code.
settings.register_profile("hub", deadline=None)
settings.load_profile("hub")
