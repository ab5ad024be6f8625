"""Delta state of one stream: what is sent, what counts as acknowledged, and that a gateway always ends up right."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.scaler.mesh.snapshot import Assignment, Endpoint, Snapshot
from services.scaler.mesh.subscription import Answer, Asked, Subscription

AWAKE = Assignment("a", (Endpoint("127.0.0.1:1"),))
NAMES = ("a", "b", "c", "d")


def ack(answer: Answer) -> Asked:
    return Asked(nonce=answer.nonce)


def test_a_subscribed_cluster_that_nobody_knows_is_told_to_be_asleep() -> None:
    subscription = Subscription(1)
    subscription.receive(Asked(subscribe=("a",)))
    answer = subscription.due(Snapshot())
    assert answer is not None
    assert answer.assignments == (Assignment("a"),)


def test_nothing_is_sent_twice() -> None:
    subscription = Subscription(1)
    subscription.receive(Asked(subscribe=("a", "b")))
    snapshot = Snapshot().of([AWAKE])
    assert subscription.due(snapshot) is not None
    assert subscription.due(snapshot) is None


def test_several_changes_go_in_one_answer() -> None:
    subscription = Subscription(1)
    subscription.receive(Asked(subscribe=NAMES))
    answer = subscription.due(Snapshot().of(Assignment(name, (Endpoint("127.0.0.1:9"),)) for name in NAMES))
    assert answer is not None
    assert {a.cluster for a in answer.assignments} == set(NAMES)


def test_what_a_gateway_kept_is_not_sent_and_counts_as_acknowledged() -> None:
    snapshot = Snapshot().of([AWAKE])
    subscription = Subscription(2)
    subscription.receive(Asked(subscribe=("a", "b"), known={"a": AWAKE.version, "b": "old"}))
    answer = subscription.due(snapshot)
    assert answer is not None
    assert [a.cluster for a in answer.assignments] == ["b"]
    assert subscription.settled({"a": snapshot.changed_at("a")})
    assert not subscription.settled({"b": snapshot.serial})


def test_a_change_is_settled_by_its_own_acknowledgement_only() -> None:
    subscription = Subscription(1)
    subscription.receive(Asked(subscribe=("a",)))
    first = Snapshot().of([AWAKE])
    before = subscription.due(first)
    second = first.of([Assignment("a")])
    after = subscription.due(second)
    assert before is not None
    assert after is not None
    subscription.receive(ack(before))
    assert not subscription.settled({"a": second.changed_at("a")})
    subscription.receive(ack(after))
    assert subscription.settled({"a": second.changed_at("a")})


def test_a_change_taken_back_before_it_was_sent_is_settled() -> None:
    subscription = Subscription(1)
    subscription.receive(Asked(subscribe=("a",)))
    snapshot = Snapshot().of([AWAKE])
    answer = subscription.due(snapshot)
    assert answer is not None
    subscription.receive(ack(answer))
    again = snapshot.of([Assignment("a")]).of([AWAKE])
    assert subscription.due(again) is None
    assert subscription.settled({"a": again.changed_at("a")})


def test_a_refused_answer_is_reported_and_settles_nothing() -> None:
    subscription = Subscription(1)
    subscription.receive(Asked(subscribe=("a",)))
    snapshot = Snapshot().of([AWAKE])
    answer = subscription.due(snapshot)
    assert answer is not None
    assert subscription.receive(Asked(nonce=answer.nonce, error="no")) == answer
    assert not subscription.settled({"a": snapshot.serial})
    assert subscription.due(snapshot) is None, "the same content would be refused again"
    assert subscription.due(snapshot.of([Assignment("a")])) is not None


def test_a_cluster_made_anew_gets_its_endpoints_again() -> None:
    subscription = Subscription(1)
    snapshot = Snapshot().of([AWAKE])
    subscription.receive(Asked(subscribe=("a",)))
    subscription.due(snapshot)
    subscription.receive(Asked(subscribe=("a",)))
    assert subscription.due(snapshot) is not None


def test_who_has_not_subscribed_has_nothing_to_withdraw() -> None:
    assert Subscription(1).settled({"a": 7})


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.booleans(), st.booleans())))
def test_a_version_says_the_content_and_nothing_else(changes: list[tuple[str, bool, bool]]) -> None:
    snapshot = Snapshot()
    for name, there, draining in changes:
        endpoints = (Endpoint("127.0.0.1:5", draining),) if there else ()
        after = snapshot.of([Assignment(name, endpoints)])
        same = after.assignment(name).version == snapshot.assignment(name).version
        assert same == (after.assignment(name) == snapshot.assignment(name))
        snapshot = after


class Conversation(RuleBasedStateMachine):
    """A gateway, a mesh and a wire between them that keeps order; streams break and the gateway comes back."""

    def __init__(self) -> None:
        super().__init__()
        self.snapshot = Snapshot()
        self.has: dict[str, Assignment] = {}
        self.streams = 0
        self.wire: list[Answer] = []
        self.connect(())

    @rule(lost=st.sets(st.sampled_from(NAMES)))
    def connect(self, lost: set[str] | tuple[()]) -> None:
        """A stream begins; `lost`: clusters that the gateway has forgotten since."""
        self.streams += 1
        self.wire.clear()
        self.subscription = Subscription(self.streams)
        for name in lost:
            self.has.pop(name, None)
        known = {name: assignment.version for name, assignment in self.has.items()}
        self.subscription.receive(Asked(subscribe=NAMES, known=known))

    @rule(name=st.sampled_from(NAMES), ports=st.sets(st.integers(1, 3)), draining=st.booleans())
    def change(self, name: str, ports: set[int], draining: bool) -> None:
        endpoints = tuple(sorted(Endpoint(f"127.0.0.1:{port}", draining) for port in ports))
        self.snapshot = self.snapshot.of([Assignment(name, endpoints)])

    @rule()
    def send(self) -> None:
        answer = self.subscription.due(self.snapshot)
        if answer is not None:
            self.wire.append(answer)

    @precondition(lambda self: self.wire)
    @rule()
    def deliver(self) -> None:
        answer = self.wire.pop(0)
        self.has.update({a.cluster: a for a in answer.assignments})
        assert self.subscription.receive(ack(answer)) is None

    @rule()
    def run_dry(self) -> None:
        self.send()
        while self.wire:
            self.deliver()
            self.send()
        for name in NAMES:
            assert self.has.get(name, Assignment(name)).version == self.snapshot.assignment(name).version
            assert self.subscription.settled({name: self.snapshot.changed_at(name)})

    @invariant()
    def settled_means_that_the_gateway_has_it(self) -> None:
        for name in NAMES:
            if self.subscription.settled({name: self.snapshot.changed_at(name)}) and name in self.has:
                assert self.has[name] == self.snapshot.assignment(name)


TestConversation = Conversation.TestCase
TestConversation.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
