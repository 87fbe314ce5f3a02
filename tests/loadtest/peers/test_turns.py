"""Everybody is asked everything, each document in another order."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from qdts.loadtest.peers.base import Role, Scenario, System, Written
from qdts.loadtest.peers.requests import Pair
from qdts.loadtest.peers.turns import rotated, take_turns
from qdts.loadtest.peers.worker import Answer, Job


@dataclass
class Recorder:
    """Answers with how often it was asked."""

    name: str
    log: list[tuple[str, Job]]

    def ask(self, job: Job) -> Answer:
        self.log.append((self.name, job))
        return Answer(written=Written(tokens=[len(self.log)], num_steps=1), ms=float(len(self.log)))


def make_system(name: str, *, keeps_states: bool) -> System:
    return System(name=name, engine="", variant="fp32", role=Role.PEER, keeps_states=keeps_states)


def test_rotation_puts_each_first_equally_often() -> None:
    names = ["a", "b", "c"]
    orders = [rotated(names, turn) for turn in range(6)]
    assert Counter(order[0] for order in orders) == dict.fromkeys(names, 2)
    assert all(sorted(order) == names for order in orders)
    assert orders[:3] == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"]]


def test_every_document_passes_every_system(pairs: Sequence[Pair]) -> None:
    systems = [make_system("keeps", keeps_states=True), make_system("forgets", keeps_states=False)]
    log: list[tuple[str, Job]] = []
    rows = take_turns(systems, {system.name: Recorder(system.name, log) for system in systems}, pairs, repeats=3)
    first, second = ["keeps", "keeps", "forgets"], ["forgets", "keeps", "keeps"]
    assert [name for name, _ in log] == [*first, *second, *first]
    assert {job.repeats for _, job in log} == {3}
    for name, job in log:
        assert any(job.request is pair[job.scenario] for pair in pairs), name
    assert [len(rows["keeps"].answers[scenario]) for scenario in Scenario] == [len(pairs)] * 2
    assert [len(rows["forgets"].answers[scenario]) for scenario in Scenario] == [len(pairs), 0]


def test_who_forgets_pays_for_encoding_again(pairs: Sequence[Pair]) -> None:
    system = make_system("forgets", keeps_states=False)
    row = take_turns([system], {"forgets": Recorder("forgets", [])}, pairs, repeats=1)["forgets"]
    assert row.ms(Scenario.INDEXED) == row.ms(Scenario.JOINT) == [1.0, 2.0, 3.0]
    assert row.tokens(Scenario.INDEXED) == []
