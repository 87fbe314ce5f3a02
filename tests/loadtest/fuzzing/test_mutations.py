"""Requests that nobody should send: as many kinds as claimed, and the same ones for the same seed."""

import random

import pytest
from google.protobuf.message import DecodeError

from qdts.loadtest.fuzzing.mutations import as_batch, as_stream, make_corpus, mutate
from qdts.v1 import summarization_pb2 as pb


@pytest.fixture(name="corpus", scope="module")
def _corpus() -> list[bytes]:
    return make_corpus(60, 3)


def can_be_read(data: bytes) -> bool:
    try:
        pb.SummarizeRequest.FromString(data)
    except DecodeError:
        return False
    return True


def test_corpus_is_of_whole_messages_and_various(corpus: list[bytes]) -> None:
    assert len(corpus) > 40 and len(set(corpus)) > 0.8 * len(corpus)
    requests = [pb.SummarizeRequest.FromString(data) for data in corpus]
    assert len({request.options.tier for request in requests}) > 3


def test_mutations_are_various_whole_and_broken(corpus: list[bytes]) -> None:
    rng = random.Random(1)
    made = [mutate(rng, corpus) for _ in range(2_000)]
    assert len(set(made)) > 1_500
    share = sum(map(can_be_read, made)) / len(made)
    assert 0.2 < share < 0.9


def test_same_seed_same_requests(corpus: list[bytes]) -> None:
    first, second = ([mutate(rng, corpus) for _ in range(50)] for rng in (random.Random(9), random.Random(9)))
    assert first == second


def test_wrappers_hold_what_they_are_given(corpus: list[bytes]) -> None:
    batch = pb.BatchSummarizeRequest.FromString(as_batch(corpus[:3]))
    assert [item.SerializeToString() for item in batch.requests] == [
        pb.SummarizeRequest.FromString(data).SerializeToString() for data in corpus[:3]
    ]
    assert pb.StreamSummarizeRequest.FromString(as_stream(corpus[0])).request.query == batch.requests[0].query
