"""Which step was for whom, and which were for nobody."""

from qdts.loadtest.simulation.costs import CostModel
from qdts.loadtest.simulation.journal import Journal, Step, StepFigures, count_steps, keep_journal
from qdts.loadtest.simulation.summarizer import SimulatedSummarizer
from qdts.models.document import Document
from qdts.service.bench.driver import Run
from qdts.service.bench.outcome import Outcome

TEXT = Document(text="The lighthouse was built in 1874.")


class Prepared(SimulatedSummarizer):
    """Keeps the queries that reach it."""

    def __init__(self) -> None:
        super().__init__(CostModel(num_steps=2), sleep=lambda seconds: None)
        self.queries: list[str] = []

    def prepare(self, query: str, document: Document, *, max_words: int, passages_only: bool = False):  # noqa: ANN201
        self.queries.append(query)
        return super().prepare(query, document, max_words=max_words, passages_only=passages_only)


def make_outcome(number: int, *, planned_s: float = 0, ended_s: float, rung: str = "full", code: str = "OK") -> Outcome:
    return Outcome(
        number=number,
        kind="interactive",
        planned_s=planned_s,
        sent_s=planned_s,
        ended_s=ended_s,
        deadline_s=1.0,
        code=code,
        rung=rung,
    )


def test_steps_are_noted_with_their_requests_and_places_counted() -> None:
    summarizer, journal = Prepared(), Journal()
    ticks = iter(range(100))
    keep_journal(summarizer, journal, clock=lambda: float(next(ticks)))
    prompts = [summarizer.prepare(f"when? #{number}", TEXT, max_words=9) for number in (7, 8)]
    unnumbered = summarizer.prepare("when?", TEXT, max_words=9)
    generation = summarizer.start(prompts[:1])
    generation.step()
    assert list(generation.join([prompts[1], unnumbered])) == [1, 2]
    assert journal.num_open == 3
    generation.step()
    generation.release(0)
    generation.step()
    assert [(step.began_at, step.numbers) for step in journal.steps] == [(0, (7,)), (1, (7, 8)), (2, (8,))]
    generation.release(1)
    generation.release(2)
    assert journal.num_open == 0


def test_the_summarizer_does_not_see_the_numbers() -> None:
    summarizer = Prepared()
    keep_journal(summarizer, Journal())
    summarizer.prepare("what is #1 on the list? #12", TEXT, max_words=9)
    assert summarizer.queries == ["what is #1 on the list?"]


def test_a_step_for_the_dead_is_wasted_and_one_for_the_degraded_unused() -> None:
    run = Run(
        started_at=100.0,
        outcomes=(
            make_outcome(0, ended_s=0.5),
            make_outcome(1, ended_s=0.2, code="CANCELLED", rung=""),
            make_outcome(2, ended_s=1.3, code="DEADLINE_EXCEEDED", rung=""),
            make_outcome(3, ended_s=0.9, rung="extractive"),
        ),
    )
    steps = [
        Step(began_at=100.1, numbers=(0, 1, 2, 3)),  # for all of them
        Step(began_at=100.204, numbers=(1,)),  # word of its leaving may still be on the way
        Step(began_at=100.206, numbers=(0, 1)),
        Step(began_at=101.1, numbers=(2,)),  # its deadline was at 101
        Step(began_at=101.1, numbers=(99,)),  # of another run
    ]
    assert count_steps(steps, run) == StepFigures(taken=8, wasted=2, unused=6)
