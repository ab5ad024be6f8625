"""Every law of the fleet, over random catalogues and everything that may happen to them.

Two ways in: long random walks with fixed seeds, and a state machine whose failures hypothesis makes short.
`AIHUB_PROPERTIES=long` walks for minutes instead of seconds.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.properties.walk import HORIZON, Walk
from tests.support import verdict

LONG = os.environ.get("AIHUB_PROPERTIES") == "long"
SEEDS, STEPS = (400, 5000) if LONG else (40, 1000)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_law_holds_on_a_random_walk_that_calms_down_and_replays(seed: int) -> None:
    walk = Walk(seed, size=3 + seed % 8)
    for _ in range(STEPS):
        walk.step()
    verdict.judge_calm(walk.world, HORIZON)
    verdict.replayed(walk.world)


class FleetMachine(RuleBasedStateMachine):
    """Hypothesis chooses what happens; the world judges each effect and the teardown what is left."""

    @initialize(seed=st.integers(0, 10_000), size=st.integers(1, 8))
    def begin(self, seed: int, size: int) -> None:
        self.walk = Walk(seed, size)

    @rule()
    def request(self) -> None:
        self.walk.request()

    @rule()
    def request_again(self) -> None:
        self.walk.request()

    @precondition(lambda self: bool(self.walk.world.open))
    @rule()
    def leave(self) -> None:
        self.walk.leave()

    @rule(seconds=st.sampled_from((0.0, 0.001, 0.05, 0.5, 2.0, 8.0, 30.0)))
    def wait(self, seconds: float) -> None:
        self.walk.world.advance(seconds)

    @rule()
    def read(self) -> None:
        self.walk.read()

    @rule()
    def read_and_wait(self) -> None:
        self.walk.read_and_wait()

    @precondition(lambda self: bool(self.walk.world.programs))
    @rule()
    def measure(self) -> None:
        self.walk.measure()

    @precondition(lambda self: bool(self.walk.world.programs))
    @rule()
    def crash(self) -> None:
        self.walk.crash()

    @precondition(lambda self: bool(self.walk.world.programs))
    @rule()
    def stop_by_hand(self) -> None:
        self.walk.stop_by_hand()

    @precondition(lambda self: bool(self.walk.world.programs))
    @rule()
    def meddle(self) -> None:
        self.walk.meddle()

    @precondition(lambda self: bool(self.walk.world.programs))
    @rule()
    def deafen(self) -> None:
        self.walk.deafen()

    @precondition(lambda self: bool(self.walk.world.outcomes))
    @rule()
    def stale(self) -> None:
        self.walk.stale()

    @rule()
    def ask(self) -> None:
        self.walk.ask()

    @rule()
    def change_the_budget(self) -> None:
        self.walk.budget()

    @rule()
    def change_the_catalogue(self) -> None:
        self.walk.change()

    @rule()
    def restart_the_scaler(self) -> None:
        self.walk.restart_scaler()

    @rule(adversity=st.sampled_from((0.0, 0.1, 0.5)))
    def change_luck(self, adversity: float) -> None:
        self.walk.world.adversity = adversity

    def teardown(self) -> None:
        if hasattr(self, "walk"):
            verdict.judge_calm(self.walk.world, HORIZON)
            verdict.replayed(self.walk.world)


FleetMachine.TestCase.settings = settings(
    max_examples=2000 if LONG else 100,
    stateful_step_count=100 if LONG else 50,
    derandomize=not LONG,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


class TestFleet(FleetMachine.TestCase):
    """The state machine as a test."""
