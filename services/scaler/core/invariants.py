"""The laws as code: what holds of a fleet's state after every step. The oracle of the property tests.

What concerns effects in their order (an endpoint is published only while ready, a freeze follows a withdrawal) is held
by the model world of those tests, which refuses effects that break it.
"""

from __future__ import annotations

from services.scaler.core.admission import replicas
from services.scaler.core.fleet import Fleet
from services.scaler.core.state import Life, Preparation, ServiceState
from services.scaler.core.world import World


def broken(fleet: Fleet) -> list[str]:
    """Every law that does not hold, one line each; empty where all do."""
    world = fleet.world
    faults = _books(fleet)
    for service in world.services.values():
        faults += [f"{service.name}: {fault}" for fault in _service(world, service)]
    starting = sum(replica.life is Life.STARTING and replica.endpoints == {} for replica in replicas(world))
    if starting > world.settings.start_cap:
        faults.append(f"{starting} cold starts at once, the cap is {world.settings.start_cap}")
    return faults


def _books(fleet: Fleet) -> list[str]:
    """Each fact that is kept twice says the same both times, and the step left nothing over."""
    world, faults = fleet.world, []
    demands = {demand: s.name for s in world.services.values() for demand in s.demands}
    if demands != world.demand_of:
        faults.append(f"demands {demands} are booked as {world.demand_of}")
    of = {replica: s.name for s in world.services.values() for replica in s.replicas}
    if of != world.replica_of:
        faults.append(f"replicas {of} are booked as {world.replica_of}")
    queued = {s.name for s in world.services.values() if s.queued_at is not None}
    if queued != set(world.queue):
        faults.append(f"queued {queued} are booked as {set(world.queue)}")
    charged = sum(replica.charge for replica in replicas(world))
    if charged != world.charged():
        faults.append(f"{charged} bytes are reserved, {world.charged()} are booked")
    due = fleet.next_deadline()
    if due is not None and due <= world.now:
        faults.append(f"the step ended with a timer of {due} at {world.now}")
    if world.dirty:
        faults.append(f"the step ended with {list(world.dirty)} not looked at")
    return faults


def _service(world: World, service: ServiceState) -> list[str]:
    faults = []
    lives = [replica.life for replica in service.replicas.values()]
    if service.demands and Life.READY in lives:
        faults.append("requests wait although a replica serves")
    resting = service.in_life(Life.DRAINING, Life.WITHDRAWING)
    if service.demands and any(not replica.deaf for replica in resting):
        faults.append("requests wait although the rest under way can be taken back")
    if any(waiting.deadline <= world.now for waiting in service.demands.values()):
        faults.append("a request is held beyond its limit")
    if service.demands and not _going_on(world, service):
        faults.append("requests wait and nothing goes on for them")
    if lives.count(Life.STARTING) > 1:
        faults.append("two starts at once")
    if service.queued_at is not None and Life.STARTING in lives:
        faults.append("queued for a start while one is under way")
    if service.retired and not lives:
        faults.append("left the catalogue, has no replica, and is still here")
    return faults


def _going_on(world: World, service: ServiceState) -> bool:
    """Something is under way whose outcome will serve or refuse those who wait."""
    seen, open_ends = {service.name}, [service]
    while open_ends:
        one = open_ends.pop()
        if one.replicas or one.queued_at is not None or one.preparation is Preparation.RUNNING:
            return True
        needs = [name for name in one.needs if name not in seen]
        seen.update(needs)
        open_ends += [world.services[name] for name in needs]
    return False
