"""Document by document, each system in turn: what else runs on the machine then hits all alike."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from qdts.loadtest.peers.base import Scenario, System
from qdts.loadtest.peers.requests import Pair
from qdts.loadtest.peers.worker import Answer, Asked, Job

Answers = dict[Scenario, list[Answer]]


@dataclass(slots=True)
class Row:
    """One system's answers, by scenario, an entry for each document."""

    system: System
    answers: Answers = field(default_factory=lambda: {scenario: list[Answer]() for scenario in Scenario})

    def ms(self, scenario: Scenario) -> list[float]:
        """Milliseconds for each document. Who cannot keep what the encoder says pays for it again."""
        answers = self.answers[scenario] or self.answers[Scenario.JOINT]
        return [answer.ms for answer in answers]

    def tokens(self, scenario: Scenario) -> list[list[int]]:
        """What was written for each document; nothing where the scenario was not asked for."""
        return [answer.written.tokens for answer in self.answers[scenario]]


def rotated(names: Sequence[str], turn: int) -> list[str]:
    """The same names, each round another one first."""
    start = turn % len(names)
    return [*names[start:], *names[:start]]


def take_turns(
    systems: Sequence[System], workers: Mapping[str, Asked], pairs: Iterable[Pair], repeats: int
) -> dict[str, Row]:
    """Ask every system everything; rows by name, in the order of `systems`."""
    rows = {system.name: Row(system) for system in systems}
    for turn, pair in enumerate(pairs):
        for name in rotated(list(rows), turn):
            for scenario in scenarios_of(rows[name].system):
                job = Job(request=pair[scenario], scenario=scenario, repeats=repeats)
                rows[name].answers[scenario].append(workers[name].ask(job))
    return rows


def scenarios_of(system: System) -> list[Scenario]:
    """What it can be asked: a known document only where it keeps states."""
    return list(Scenario) if system.keeps_states else [Scenario.JOINT]
