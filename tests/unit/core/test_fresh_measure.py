"""What rests is measured first, once, at the moment its rest is due: work that has just begun keeps it awake."""

from __future__ import annotations

import pytest

from services.catalog.model import Busy
from services.scaler.core.effects import Drain, Measure
from services.scaler.core.events import Measured
from services.scaler.core.state import Life
from tests.unit.core.scene import IDLE, Scene, entry


def due(**given: object) -> Scene:
    """A service whose rest is due, and nobody has measured it."""
    scene = Scene(entry("a", **given))
    scene.measures = False
    scene.up("a")
    scene.rest("a")
    return scene


def test_a_rest_that_is_due_waits_for_one_measurement_and_asks_for_it_once() -> None:
    scene = due()
    assert scene.one(Measure).replica == scene.replica("a").id
    assert scene.none(Drain)
    scene.traffic(a=0)
    assert scene.none(Measure, Drain)
    scene.on(Measured(scene.replica("a").id, 1, 0.0))
    assert scene.one(Drain)


def test_work_that_the_minute_does_not_show_yet_puts_the_rest_off_by_the_idle_time() -> None:
    scene = due()
    scene.on(Measured(scene.replica("a").id, 1, cpu=0.05, lately=0.9))
    assert scene.none(Drain)
    scene.wait(IDLE - 1)
    scene.traffic(a=0)
    assert scene.none(Drain, Measure)
    scene.rest("a", after=1)
    assert scene.one(Measure)
    scene.on(Measured(scene.replica("a").id, 1, cpu=0.05, lately=0.0))
    assert scene.one(Drain)


def test_a_little_work_long_before_the_rest_is_due_does_not_put_it_off() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    scene.wait(IDLE / 2)
    scene.on(Measured(scene.replica("a").id, 1, cpu=0.01, lately=0.9))
    scene.rest("a", after=IDLE / 2)
    assert scene.one(Drain)


def test_a_measurement_that_came_by_itself_since_the_rest_is_due_is_enough() -> None:
    scene = Scene(entry("a"))
    scene.measures = False
    scene.up("a")
    scene.wait(IDLE + 1)  # no reading of its traffic is fresh, so nothing was decided
    scene.on(Measured(scene.replica("a").id, 1, 0.0))
    scene.traffic(a=0)
    assert scene.none(Measure)
    assert scene.one(Drain)


def test_a_request_that_comes_while_it_is_measured_makes_it_due_anew() -> None:
    scene = due()
    scene.traffic(a=1)
    scene.on(Measured(scene.replica("a").id, 1, 0.0))
    assert scene.none(Drain)
    scene.traffic(a=0)
    scene.rest("a")
    assert scene.one(Measure)
    assert scene.life("a") == [Life.READY]


@pytest.mark.parametrize(("busy", "asked"), [(Busy(cpu=0.0), 0), (Busy(cpu=0.0, http="/busy"), 1)])
def test_where_nothing_but_requests_counts_nothing_is_measured(busy: Busy, asked: int) -> None:
    scene = due(busy=busy)
    assert len(scene.all(Measure)) == asked
    assert len(scene.all(Drain)) == 1 - asked


def test_without_an_idle_time_what_works_is_still_left_alone_for_a_while() -> None:
    scene = Scene(entry("a", scaling={"idle_timeout": 0.0}))
    scene.measures = False
    scene.up("a")
    scene.rest("a", after=0.0)
    scene.on(Measured(scene.replica("a").id, 1, cpu=0.0, lately=0.9))
    assert scene.none(Drain, Measure)
    scene.rest("a", after=2.0)
    assert scene.one(Measure)


def test_callers_that_do_not_come_by_the_gateway_keep_it_awake_until_they_have_gone() -> None:
    scene = due()
    scene.on(Measured(scene.replica("a").id, 1, cpu=0.0, callers=2))
    scene.traffic(a=0)
    assert scene.none(Drain)
    scene.on(Measured(scene.replica("a").id, 1, cpu=0.0))
    scene.rest("a")
    scene.on(Measured(scene.replica("a").id, 1, cpu=0.0))
    assert scene.one(Drain)


def test_what_was_made_of_another_entry_is_measured_before_it_rests_whatever_its_entry_counts() -> None:
    scene = due(busy=Busy(cpu=0.0))
    assert scene.none(Measure)
    assert scene.one(Drain)
    scene = Scene(entry("a", busy=Busy(cpu=0.0)))
    scene.measures = False
    scene.up("a")
    scene.replica("a").digest = "another"
    scene.rest("a")
    assert scene.one(Measure)
    assert scene.none(Drain)
