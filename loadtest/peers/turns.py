"""Document by document, each system in turn: what else runs on the machine then hits all alike."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from qdts.loadtest.peers.base import Scenario, System, Way
from qdts.loadtest.peers.requests import Round
from qdts.loadtest.peers.worker import Answer, Asked, Job

Answers = dict[Scenario, list[Answer]]


@dataclass(slots=True)
class Row:
    """One system's answers, by scenario, an entry for each round."""

    system: System
    answers: Answers = field(default_factory=lambda: {scenario: list[Answer]() for scenario in Scenario})

    def ms(self, scenario: Scenario) -> list[float]:
        """Milliseconds for each round. Who cannot keep what the encoder says pays for it again."""
        answers = self.answers[scenario]
        if scenario is Scenario.INDEXED and not self.system.keeps_states:
            answers = self.answers[Scenario.JOINT]
        return [answer.ms for answer in answers]

    def tokens(self, scenario: Scenario) -> list[list[int]]:
        """What was written for each request; nothing where the scenario was not asked for."""
        return [one.tokens for answer in self.answers[scenario] for one in answer.written]


def rotated(names: Sequence[str], turn: int) -> list[str]:
    """The same names, each round another one first."""
    start = turn % len(names)
    return [*names[start:], *names[:start]]


def take_turns(
    systems: Sequence[System], workers: Mapping[str, Asked], rounds: Iterable[Round], repeats: int
) -> dict[str, Row]:
    """Ask every system everything; rows by name, in the order of `systems`."""
    rows = {system.name: Row(system) for system in systems}
    for turn, asked in enumerate(rounds):
        for name in rotated(list(rows), turn):
            for scenario, requests in asked.items():
                jobs = [
                    Job(requests=requests, scenario=scenario, repeats=repeats, way=way)
                    for way in ways_of(rows[name].system, scenario)
                ]
                if jobs:
                    answers = [workers[name].ask(job) for job in jobs]
                    rows[name].answers[scenario].append(min(answers, key=lambda answer: answer.ms))
    return rows


def ways_of(system: System, scenario: Scenario) -> tuple[Way, ...]:
    """How it is asked, the fastest counts; none: a known document only where it keeps states."""
    if scenario is Scenario.BATCH8:
        return system.ways
    return (Way.WHOLE,) if scenario is Scenario.JOINT or system.keeps_states else ()
