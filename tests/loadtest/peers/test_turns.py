"""Everybody is asked everything, each document in another order."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from qdts.loadtest.peers.base import Request, Role, Scenario, System, Text, Way, Written
from qdts.loadtest.peers.requests import Round
from qdts.loadtest.peers.turns import rotated, take_turns, with_lengths
from qdts.loadtest.peers.worker import Answer, Job


@dataclass
class Recorder:
    """Answers with how often it was asked."""

    name: str
    log: list[tuple[str, Job]]

    def ask(self, job: Job) -> Answer:
        self.log.append((self.name, job))
        return Answer(written=[Written(tokens=[len(self.log)], num_steps=1)], ms=float(len(self.log)), way=job.way)


def make_system(name: str, *, keeps_states: bool) -> System:
    return System(name=name, engine="", variant="fp32", role=Role.PEER, keeps_states=keeps_states)


def test_rotation_puts_each_first_equally_often() -> None:
    names = ["a", "b", "c"]
    orders = [rotated(names, turn) for turn in range(6)]
    assert Counter(order[0] for order in orders) == dict.fromkeys(names, 2)
    assert all(sorted(order) == names for order in orders)
    assert orders[:3] == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"]]


def test_every_document_passes_every_system(rounds: Sequence[Round]) -> None:
    systems = [make_system("keeps", keeps_states=True), make_system("forgets", keeps_states=False)]
    log: list[tuple[str, Job]] = []
    rows = take_turns(systems, {system.name: Recorder(system.name, log) for system in systems}, rounds, repeats=3)
    first, second = ["keeps", "keeps", "forgets"], ["forgets", "keeps", "keeps"]
    assert [name for name, _ in log] == [*first, *second, *first]
    assert {job.repeats for _, job in log} == {3}
    for name, job in log:
        assert any(job.requests is one[job.scenario] for one in rounds), name
    assert [len(rows["keeps"].answers[scenario]) for scenario in Scenario] == [len(rounds), len(rounds), 0]
    assert [len(rows["forgets"].answers[scenario]) for scenario in Scenario] == [len(rounds), 0, 0]


def test_who_forgets_pays_for_encoding_again(rounds: Sequence[Round]) -> None:
    system = make_system("forgets", keeps_states=False)
    row = take_turns([system], {"forgets": Recorder("forgets", [])}, rounds, repeats=1)["forgets"]
    assert row.ms(Scenario.INDEXED) == row.ms(Scenario.JOINT) == [1.0, 2.0, 3.0]
    assert row.tokens(Scenario.INDEXED) == []


def test_a_batch_is_asked_for_in_every_way_and_the_fastest_counts(batch: tuple[Request, ...]) -> None:
    systems = [
        replace(make_system("many", keeps_states=True), ways=(Way.IN_TURN, Way.WHOLE)),
        replace(make_system("none", keeps_states=True), ways=()),
    ]
    log: list[tuple[str, Job]] = []
    asked = [{Scenario.BATCH8: batch}] * 2
    rows = take_turns(systems, {system.name: Recorder(system.name, log) for system in systems}, asked, repeats=2)
    assert [(name, job.way, job.repeats) for name, job in log] == [("many", Way.IN_TURN, 2), ("many", Way.WHOLE, 2)] * 2
    assert all(job.requests is batch for _, job in log)
    assert [answer.way for answer in rows["many"].answers[Scenario.BATCH8]] == [Way.IN_TURN] * 2
    assert rows["many"].ms(Scenario.BATCH8) == [1.0, 3.0]
    assert rows["none"].ms(Scenario.BATCH8) == []


def test_only_those_that_write_such_text_are_asked(rounds: Sequence[Round]) -> None:
    systems = [
        make_system("all", keeps_states=True),
        replace(make_system("free", keeps_states=True), texts=(Text.FREE,)),
    ]
    workers = {system.name: Recorder(system.name, []) for system in systems}
    rows = take_turns(systems, workers, rounds, repeats=1, text=Text.SUMMARY)
    assert [(name, row.text) for name, row in rows.items()] == [("all", Text.SUMMARY)]
    assert set(take_turns(systems, workers, rounds, repeats=1)) == {"all", "free"}


class Judge:
    """Writes 3 tokens for the first of some requests, one more for each further one."""

    def ask(self, job: Job) -> Answer:
        written = [Written(tokens=[7] * (3 + place), num_steps=1) for place in range(len(job.requests))]
        return Answer(written=written, ms=1.0)


def test_requests_are_told_how_long_their_summaries_are(rounds: Sequence[Round], batch: tuple[Request, ...]) -> None:
    told = with_lengths([*rounds, {Scenario.BATCH8: batch}], Judge())
    lengths = [{request.num_tokens for requests in one.values() for request in requests} for one in told]
    assert lengths == [{3}] * len(rounds) + [{6}]  # the mean of 3 to 10, 6.5, to the even
    assert told[-1][Scenario.BATCH8] == tuple(replace(request, num_tokens=6) for request in batch)
