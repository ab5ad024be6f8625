"""The laws of the fleet, each a question to the facts at the moment an effect is given out. Empty: it holds.

`invariants.broken` judges the fleet's own books; these judge what it does, by what really is and what it was told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from services.catalog.model import Condition, Service
from services.scaler.core.effects import (
    Drain,
    Effect,
    Pause,
    Prepare,
    Publish,
    Refusal,
    Refuse,
    Release,
    Resume,
    Start,
    Stop,
    Withdraw,
)
from services.scaler.core.events import Event, Measured, Meddled, RestartAsked, SleepAsked
from services.scaler.core.state import Settings
from tests.support.truth import NO_READING, Program, Truth

FLOW_VALID = Settings().flow_valid
VICTIM_GRACE = Settings().victim_grace
_WAKES_AT_MOST = 400.0
"""Seconds after which no wake of the model world is under way any more."""


def judge(truth: Truth, effect: Effect, cause: Event, *, charged: int, reason: str) -> str:
    """The law that this effect breaks, in words. `charged`: Σ of what is reserved; `reason`: the decision before it."""
    match effect:
        case Prepare():
            able = effect.service in truth.catalog.services and not truth.unavailable.get(effect.service)
            return "" if able else f"{effect.service} is prepared although it cannot run"
        case Start():
            return _start(truth, effect, charged)
        case Publish():
            return _publish(truth.programs[effect.replica], effect)
        case Drain():
            program = truth.programs[effect.replica]
            if program.told_deaf and truth.published.get(effect.replica) == "draining":
                return _silence(truth, effect)
            if truth.published.get(effect.replica) != "serving":
                return f"{effect} of something that is not published"
            return _rest(truth, program, cause, reason) or _silence(truth, effect)
        case Withdraw():
            program = truth.programs[effect.replica]
            meddled = effect.urgent and isinstance(cause, Meddled)
            return "" if program.told_gone or program.told_quiet or meddled else f"{effect} before it was seen quiet"
        case Pause():
            program = truth.programs[effect.replica]
            if not (program.told_quiet and program.told_withdrawn):
                return f"{effect} before it was drained and withdrawn"
            return _out_of_service(truth, program, effect)
        case Resume():
            program = truth.programs[effect.replica]
            return "" if program.told_frozen and not program.told_gone else f"{effect} of something that is not frozen"
        case Stop():
            program = truth.programs[effect.replica]
            return "" if program.gone or truth.closing else _out_of_service(truth, program, effect)
        case Release():
            return _release(truth, effect)
        case Refuse():
            if effect.demand not in truth.open:
                return f"{effect} of a demand that was {truth.ended.get(effect.demand, 'never made')}"
            if effect.refusal is Refusal.FAILED and truth.open[effect.demand] == truth.forgiven:
                return f"{effect} although nothing but somebody else's hand has ended the start, for the first time"
            return "" if effect.reason and effect.retry_after >= 1.0 else f"{effect} without a reason or a time"
        case _:
            return ""


def _start(truth: Truth, effect: Start, charged: int) -> str:
    spec = truth.catalog.services.get(effect.service)
    if spec is None or truth.unavailable.get(effect.service) or truth.closing:
        return f"{effect} although it must not run"
    there = [program for program in truth.of(effect.service) if not program.gone]
    if effect.replica in truth.programs:
        return f"{effect} gives an id a second time"
    if len(there) >= max(1, spec.scaling.max_replicas):
        return f"{effect} although {there} run"
    if any(not program.told_ready for program in there):
        return f"{effect} while another start is in flight"
    if _is_left_alone(truth, effect.service):
        return f"{effect} although somebody else ended it and nobody has asked for it since"
    if truth.installed.get(effect.service) != spec.digest:
        return f"{effect} before it was prepared"
    if truth.budget is not None and charged > truth.budget:
        return f"{effect}, and {charged} of {truth.budget} bytes are charged"
    serves = any(program.told_ready and not program.told_gone for program in truth.of(effect.service))
    missing = [] if serves else list(_missing(truth, spec))
    return f"{effect} before {missing}, which it needs" if missing else ""


def _is_left_alone(truth: Truth, name: str) -> bool:
    """Somebody else ended what is always on, and neither it nor what needs it has been asked for or is on its way."""
    since = truth.put_down.get(name)
    if since is None or any(program.told_ready and program.runs for program in truth.of(name)):
        return False  # of those that still serve there may have to be more
    for one in _with_dependents(truth, name):
        if one in truth.open.values():
            return False
        if name != one and not any(program.told_ready and program.runs for program in truth.of(one)):
            since = truth.put_down[name] - _WAKES_AT_MOST  # its wake may have been under way before
        asked = truth.asked.get(one, float("-inf"))
        if asked >= since or (name != one and truth.stirred.get(one, float("-inf")) >= since):
            return False
    return truth.pins.get(name, 0.0) <= truth.now


def _with_dependents(truth: Truth, name: str) -> set[str]:
    found, services = {name}, truth.catalog.services
    while True:
        more = {
            spec.name
            for spec in services.values()
            if found & {*spec.uses, *(dependency.service for dependency in spec.depends_on)}
        }
        if more <= found:
            return found
        found |= more


def _missing(truth: Truth, spec: Service) -> Iterator[str]:
    for dependency in spec.depends_on:
        if dependency.service not in truth.catalog.services or not dependency.required:
            continue
        if dependency.service in truth.finished and dependency.condition is not Condition.HEALTHY:
            continue
        if dependency.condition is Condition.COMPLETED and truth.may_finish(dependency.service):
            yield dependency.service
            continue
        healthy = dependency.condition is not Condition.STARTED
        if not any(
            (program.told_ready or not healthy) and not (program.told_gone or program.told_frozen or program.stopping)
            for program in truth.of(dependency.service)
        ):
            yield dependency.service


def _publish(program: Program, effect: Publish) -> str:
    if not program.told_ready or program.told_gone or program.told_frozen or program.stopping:
        return f"{effect} although it is not ready: {program}"
    if dict(effect.endpoints) != program.endpoints:
        return f"{effect} although it listens on {program.endpoints}"
    return ""


def _rest(truth: Truth, program: Program, cause: Event, reason: str) -> str:
    """Nothing in use is put to rest, and nothing is decided without a fresh reading."""
    name, now = program.service, truth.now
    spec = truth.catalog.services.get(name)
    if program.told_deaf:
        return ""  # nobody can reach it; the drain proves that nobody has
    if program.told_busy:
        return f"{name} is put to rest while its last measurement says that it works"
    if spec is None:
        return ""  # there may be no readings of it any more: the drain alone proves that it is quiet
    at, active = truth.readings.get(name, NO_READING)[0], truth.counted(name)
    fresh = now < at + FLOW_VALID
    if "carry the load" in reason:
        left = [other for other in truth.of(name) if truth.published.get(other.replica) == "serving"]
        return "" if fresh and len(left) > 1 else f"{name} has one replica fewer, of {left}, by a reading of {at}"
    awake = list(_awake_dependents(truth, name))
    if awake:
        return f"{name} is put to rest while {awake}, which need it, are awake"
    if truth.pins.get(name, 0.0) > now and not isinstance(cause, RestartAsked):
        return f"{name} is put to rest while it is pinned"
    if isinstance(cause, SleepAsked | RestartAsked) and cause.service == name:
        return f"{name} is put to rest with {active} requests in flight" if active else ""
    if not fresh:
        return f"{name} is put to rest without a fresh reading (the last is of {at})"
    if active or at <= truth.released_at.get(name, float("-inf")):
        return f"{name} is put to rest although the last reading does not show it quiet"
    for_room = "room" in reason or "budget" in reason
    used = truth.uses.get(name, float("-inf"))
    if now < used + (VICTIM_GRACE if for_room else spec.scaling.idle_timeout):
        return f"{name} is put to rest although it was used at {used}"
    if isinstance(cause, Measured) and cause.lately > spec.busy.cpu > 0 and not for_room:
        return f"{name} is put to rest although it works: {cause}"
    if spec.busy.cpu and not for_room and program.measured_at < used + spec.scaling.idle_timeout:
        return f"{name} is put to rest by a measurement of {program.measured_at}, before that was due"
    return ""


def _silence(truth: Truth, effect: Drain) -> str:
    at, flow = truth.readings.get(effect.service, NO_READING)
    silent = truth.now < at + FLOW_VALID and flow.active > 0 and not truth.counted(effect.service)
    if effect.despite_silent and not silent and effect.service in truth.catalog.services:
        return f"{effect} although no fresh reading says that all is silent"
    return ""


def _awake_dependents(truth: Truth, name: str) -> Iterator[str]:
    for program in truth.programs.values():
        spec = truth.catalog.services.get(program.service)
        if spec is None or program.told_gone or program.told_frozen or program.gone or program.stopping:
            continue
        if name in spec.uses or any(dependency.service == name for dependency in spec.depends_on):
            yield program.replica


def _out_of_service(truth: Truth, program: Program, effect: Effect) -> str:
    if program.replica in truth.published:
        return f"{effect} while it is published as {truth.published[program.replica]}"
    spec = truth.catalog.services.get(program.service)
    silent = spec is not None and spec.busy.websocket_idle is not None and not truth.counted(program.service)
    left_frozen = program.frozen and spec is None  # by somebody else, and there are no readings of it any more
    if program.in_flight and not (program.told_gone or program.overlooked or silent or left_frozen):
        return f"{effect} with requests {program.in_flight} in flight"
    return ""


def _release(truth: Truth, effect: Release) -> str:
    program = truth.programs[effect.replica]
    if effect.demand not in truth.open:
        return f"{effect} of a demand that was {truth.ended.get(effect.demand, 'never made')}"
    if truth.open[effect.demand] != program.service:
        return f"{effect} although the demand is for {truth.open[effect.demand]}"
    told = program.told_gone or program.told_frozen or program.told_deaf
    if truth.published.get(effect.replica) != "serving" or told:
        return f"{effect} to something that does not serve: {program}"
    if effect.endpoint not in program.endpoints.values():
        return f"{effect} to an address that {program} has not"
    return ""


def kept_up(truth: Truth, able: set[str], pins: Mapping[str, float]) -> set[str]:
    """Of those that are able to run: always on, pinned, or needed by one of these."""
    services = truth.catalog.services
    up = {
        name
        for name in able
        if not services[name].lazy or services[name].scaling.min_replicas or pins.get(name, 0.0) > truth.now
    }
    while True:
        needed = {
            other
            for name in up
            for other in (*services[name].uses, *(dependency.service for dependency in services[name].depends_on))
            if other in able
        }
        if needed <= up:
            return up
        up |= needed


def able(truth: Truth, name: str) -> bool:
    """Whether it can run, with all that it cannot do without."""
    spec = truth.catalog.services.get(name)
    if spec is None or truth.unavailable.get(name) or waits_for_a_task(truth, name):
        return False
    return all(
        able(truth, dependency.service) or dependency.service not in truth.catalog.services
        for dependency in spec.depends_on
        if dependency.required
    )


def waits_for_a_task(truth: Truth, name: str) -> bool:
    """Whether something it depends on, however far down, has to end first and has not: its wake may take for ever."""
    spec = truth.catalog.services.get(name)
    return spec is not None and any(
        (one.condition is Condition.COMPLETED and truth.may_finish(one.service) and one.service not in truth.finished)
        or waits_for_a_task(truth, one.service)
        for one in spec.depends_on
    )
