"""Document by document, each system in turn: what else runs on the machine then hits all alike."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from qdts.loadtest.peers.base import Request, Scenario, System, Text, Way
from qdts.loadtest.peers.requests import Round
from qdts.loadtest.peers.worker import Answer, Asked, Job

Answers = dict[Scenario, list[Answer]]


@dataclass(slots=True)
class Row:
    """One system's answers, by scenario, an entry for each round."""

    system: System
    text: Text = Text.FREE
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


def with_lengths(rounds: Iterable[Round], judge: Asked) -> list[Round]:
    """The same requests, their `num_tokens` as many as the judge's summaries have; in a batch the mean of these, as a
    batch that is written freely is of one length."""
    return [{scenario: _as_long(requests, scenario, judge) for scenario, requests in one.items()} for one in rounds]


def _as_long(requests: Sequence[Request], scenario: Scenario, judge: Asked) -> tuple[Request, ...]:
    written = judge.ask(Job(requests=requests, scenario=scenario)).written
    number = round(float(np.mean([len(one.tokens) for one in written])))
    return tuple(replace(request, num_tokens=number) for request in requests)


def take_turns(
    systems: Sequence[System],
    workers: Mapping[str, Asked],
    rounds: Iterable[Round],
    repeats: int,
    text: Text = Text.FREE,
) -> dict[str, Row]:
    """Ask every system for a text of this kind everything; rows by name, in the order of `systems`."""
    rows = {system.name: Row(system, text) for system in systems if text in system.texts}
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
