"""What one side packs the other unpacks, equal."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdts.errors import DeadlineExceeded, Draining, Overloaded, QdtsError, QueueFull, Unavailable, WeightsError
from qdts.models.document import Span, Summary, SummarySentence
from qdts.models.runtimes.base import RuntimeInfo
from qdts.service.processes import messages
from qdts.service.processes.messages import Call, EngineFacts
from qdts.service.request import Priority
from qdts.service.scheduler import Generated

TEXT = st.text(st.characters(exclude_categories=()), max_size=50)
TIMES = st.floats(0, 1e9)
COUNTS = st.integers(0, 1 << 40)
SPANS = st.tuples(COUNTS, COUNTS).map(lambda ends: Span(min(ends), max(ends)))
SENTENCES = st.builds(SummarySentence, text=TEXT, source=st.none() | SPANS)
SUMMARIES = st.builds(
    Summary,
    sentences=st.lists(SENTENCES, max_size=4).map(tuple),
    coverage=st.floats(0, 1),
    num_input_tokens=COUNTS,
    num_output_tokens=COUNTS,
    num_steps=COUNTS,
)


@given(generated=st.builds(Generated, summary=SUMMARIES, queue_ms=TIMES, encode_ms=TIMES, decode_ms=TIMES))
@settings(deadline=None)
def test_a_summary_arrives_as_it_was(generated: Generated) -> None:
    assert messages.unpack_generated(messages.pack_generated(generated)) == generated


@given(prompt=st.binary(max_size=100), at=st.floats(-1e9, 1e9), priority=st.sampled_from(Priority), wants=st.booleans())
@settings(deadline=None)
def test_a_call_arrives_as_it_was(prompt: bytes, at: float, priority: Priority, wants: bool) -> None:
    call = Call(prompt=prompt, deadline_at=at, priority=priority, num_tokens=512, wants_text=wants)
    assert messages.unpack_call(messages.pack_call(call)) == call  # a view of bytes is equal to them


def test_what_is_no_call_is_refused() -> None:
    call = Call(prompt=b"", deadline_at=1.0, priority=Priority.BULK, num_tokens=1, wants_text=True)
    whole = messages.pack_call(call)
    with pytest.raises(ValueError, match="a call of 17 bytes"):
        messages.unpack_call(whole[:-1])
    with pytest.raises(ValueError, match="Priority"):
        messages.unpack_call(whole[:-2] + b"\x09\x00")


def test_facts_arrive_as_they_were() -> None:
    info = RuntimeInfo(name="onnx", precision="int8", device="cpu", num_threads=2)
    facts = EngineFacts(version="m@1", info=info, num_places=4, max_queue=64, step_ms=(1.5, 2.0))
    assert messages.unpack_facts(messages.pack_facts(facts)) == facts


@pytest.mark.parametrize("kind", [DeadlineExceeded, Draining, QueueFull, Unavailable, Overloaded])
def test_an_error_keeps_its_kind_and_its_words(kind: type[QdtsError]) -> None:
    error = messages.unpack_error(messages.pack_error(kind("it is so")))
    assert type(error) is kind and str(error) == "it is so"


def test_when_to_come_back_travels_too() -> None:
    error = messages.unpack_error(messages.pack_error(QueueFull("full", retry_after_s=1.5)))
    assert isinstance(error, QueueFull) and error.retry_after_s == 1.5


def test_an_error_that_is_nothing_to_a_front_means_that_the_engine_cannot() -> None:
    assert type(messages.unpack_error(messages.pack_error(WeightsError("x")))) is Unavailable
