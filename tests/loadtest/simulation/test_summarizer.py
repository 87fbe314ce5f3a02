"""The simulated summariser in counted instead of real time."""

import pytest

from qdts.loadtest.simulation.costs import CostModel
from qdts.loadtest.simulation.summarizer import SimulatedSummarizer
from qdts.models.document import Document
from qdts.service.generative import Generation, Summarizer

COSTS = CostModel(encode_ms=2, encode_ms_per_token=0.1, step_ms=5, step_ms_per_token=0.5, step_width=2, num_steps=4)
TEXT = Document(text="The lighthouse was built in 1874. Its lamp could be seen from afar." + " More." * 50)


class Slept:
    """Counts milliseconds."""

    def __init__(self) -> None:
        self.ms = 0.0

    def __call__(self, seconds: float) -> None:
        self.ms += seconds * 1000


def make() -> tuple[SimulatedSummarizer, Slept]:
    slept = Slept()
    return SimulatedSummarizer(COSTS, slept), slept


def test_it_is_what_the_engine_asks_for() -> None:
    summarizer: Summarizer = make()[0]
    generation: Generation = summarizer.start([summarizer.prepare("what?", TEXT, max_words=50)])
    assert generation.active == (0,)


def test_one_summary_takes_reading_and_all_its_steps() -> None:
    summarizer, slept = make()
    prompt = summarizer.prepare("when?", TEXT, max_words=50)
    generation = summarizer.start([prompt])
    reading_ms = 2 + 0.1 * summarizer.num_unread(prompt)
    assert slept.ms == pytest.approx(reading_ms)
    while generation.active:
        generation.step()
    assert slept.ms == pytest.approx(reading_ms + 4 * 6)
    summary = generation.summary(0)
    assert summary.text == "The lighthouse was built in 1874." and summary.num_steps == 4
    assert summary.sentences[0].source is not None and summary.coverage == 1
    assert (generation.encode_ms(0), generation.decode_ms(0)) == (pytest.approx(reading_ms), pytest.approx(24))


def test_those_that_join_share_the_steps_and_finish_later() -> None:
    summarizer, slept = make()
    prompts = [summarizer.prepare("when?", TEXT, max_words=50) for _ in range(2)]
    generation = summarizer.start(prompts[:1])
    generation.step()
    before_ms = slept.ms
    assert generation.join(prompts[1:]) == [1]
    generation.step()
    assert slept.ms - before_ms == pytest.approx(summarizer.costs.encoding_ms(prompts[1].num_tokens) + 7)
    for _ in range(2):
        generation.step()
    assert generation.active == (1,)
    generation.release(0)
    generation.release(1)
    assert generation.active == ()


def test_text_grows_with_the_steps() -> None:
    summarizer, _ = make()
    generation = summarizer.start([summarizer.prepare("when?", TEXT, max_words=50)])
    texts = [generation.text(0)]
    while generation.active:
        generation.step()
        texts.append(generation.text(0))
    assert texts[0] == "" and texts[-1] == generation.summary(0).text
    assert [len(text) for text in texts] == sorted(len(text) for text in texts)


def test_passages_are_cheaper_and_cover_less() -> None:
    summarizer, _ = make()
    long = Document(text="One sentence. " * 1000)
    full = summarizer.prepare("q", long, max_words=50)
    passages = summarizer.prepare("q", long, max_words=50, passages_only=True)
    assert passages.num_tokens == full.num_tokens // 2 and passages.coverage == 0.5
