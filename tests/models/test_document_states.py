"""Documents are encoded once; what is kept stays within its bound and close to what was encoded."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdts.models.document_states import DocumentStates, PackedStates
from qdts.models.runtimes.base import Ids, States


class Counting:
    """Encodes a document as a random matrix of its ids, and counts."""

    def __init__(self) -> None:
        self.encoded: list[list[int]] = []

    def encode(self, documents: list[Ids]) -> list[States]:
        self.encoded += [document.tolist() for document in documents]
        return [States(hidden=hidden_of(document)) for document in documents]


def hidden_of(document: Ids) -> np.ndarray:
    return np.random.default_rng(document.tolist()).normal(size=(len(document), 16)).astype(np.float32)


def documents(*lengths: int) -> list[Ids]:
    return [np.arange(length) + 10 * length for length in lengths]


@given(st.integers(0, 10_000), st.floats(1e-6, 1e6))
def test_a_packed_state_is_off_by_half_a_step_at_most(seed: int, scale: float) -> None:
    hidden = (np.random.default_rng(seed).standard_t(2, (7, 33)) * scale).astype(np.float32)
    packed = PackedStates.pack(States(hidden=hidden))
    error = np.abs(packed.unpack().hidden - hidden)
    step = np.abs(hidden).max(axis=1, keepdims=True) / 127
    assert (error <= 0.5001 * step).all()
    assert packed.num_bytes == 7 * 33 + 7 * 4


def test_a_token_of_zeros_stays_one() -> None:
    assert not PackedStates.pack(States(hidden=np.zeros((2, 4), np.float32))).unpack().hidden.any()


def test_a_document_is_encoded_once() -> None:
    runtime, store = Counting(), DocumentStates(10_000)
    first = store.read(runtime, documents(5, 9, 5))  # pyright: ignore[reportArgumentType]
    second = store.read(runtime, documents(9, 5))  # pyright: ignore[reportArgumentType]
    assert [len(document) for document in runtime.encoded] == [5, 9]
    assert (store.num_misses, store.num_hits) == (2, 3)
    for states, again in zip(first[:2], reversed(second), strict=True):
        assert np.array_equal(states.hidden, again.hidden), "the first answer is the one that is kept"
    assert np.array_equal(first[0].hidden, first[2].hidden)
    np.testing.assert_allclose(first[1].hidden, hidden_of(documents(9)[0]), atol=0.02)


def test_the_longest_unread_are_dropped_first() -> None:
    size = 10 * (16 + 4)
    runtime, store = Counting(), DocumentStates(2 * size)
    one, two, three = (np.arange(10) + start for start in (0, 100, 200))
    for document in (one, two, one, three, one, two):
        store.read(runtime, [document])  # pyright: ignore[reportArgumentType]
    assert [ids[0] for ids in runtime.encoded] == [0, 100, 200, 100]
    assert len(store) == 2 and store.num_bytes == 2 * size


@given(st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=4), max_size=20), st.integers(0, 500))
def test_the_bound_holds_and_every_answer_is_right(calls: list[list[int]], max_bytes: int) -> None:
    runtime, store = Counting(), DocumentStates(max_bytes)
    for lengths in calls:
        found = store.read(runtime, documents(*lengths))  # pyright: ignore[reportArgumentType]
        for states, document in zip(found, documents(*lengths), strict=True):
            np.testing.assert_allclose(states.hidden, hidden_of(document), atol=0.03)
        assert store.num_bytes <= max_bytes


def test_a_bound_below_nothing_is_named() -> None:
    with pytest.raises(ValueError, match="max_bytes must be at least 0, is -1"):
        DocumentStates(-1)


def test_it_says_what_it_knows() -> None:
    kept, (first, second) = DocumentStates(10_000), documents(5, 6)
    kept.read(Counting(), [first])  # pyright: ignore[reportArgumentType]
    assert kept.knows(first.copy()) and not kept.knows(second)
    assert (kept.num_hits, kept.num_misses) == (0, 1), "asking is not reading"


class Store:
    """What other processes have read."""

    def __init__(self) -> None:
        self.saved: dict[bytes, PackedStates] = {}
        self.num_loads = 0

    def load(self, key: bytes, *, within_s: float) -> PackedStates | None:
        self.num_loads += 1
        return self.saved.get(key)

    def save(self, key: bytes, states: PackedStates) -> None:
        self.saved[key] = states


def test_what_was_encoded_is_shared_and_fetched_once() -> None:
    store, runtime, (first, second) = Store(), Counting(), documents(5, 6)
    here, there = DocumentStates(10_000, store), DocumentStates(10_000, store)
    here.read(runtime, [first])  # pyright: ignore[reportArgumentType]
    assert len(store.saved) == 1
    for document in (first, first, second):
        there.fetch(document, within_s=1)
    assert store.num_loads == 2, "what is known is not asked for"
    assert there.knows(first) and not there.knows(second)
    there.read(runtime, [first, second])  # pyright: ignore[reportArgumentType]
    assert [len(document) for document in runtime.encoded] == [5, 6]
    assert len(store.saved) == 2


def test_fetched_states_of_another_length_are_refused() -> None:
    store, (first, second) = Store(), documents(5, 6)
    DocumentStates(10_000, store).read(Counting(), [first])  # pyright: ignore[reportArgumentType]
    [states] = store.saved.values()
    store.load = lambda key, *, within_s: states
    there = DocumentStates(10_000, store)
    there.fetch(second, within_s=1)
    assert not there.knows(second)


def test_fetching_keeps_to_the_bound_while_another_thread_reads() -> None:
    store, runtime = Store(), Counting()
    many = documents(*range(5, 25))
    DocumentStates(1 << 20, store).read(runtime, many)  # pyright: ignore[reportArgumentType]
    there = DocumentStates(1000, store)
    with ThreadPoolExecutor(4) as pool:
        fetching = [pool.submit(there.fetch, document, within_s=1) for document in many * 20]
        for document in many * 5:
            [states] = there.read(runtime, [document])  # pyright: ignore[reportArgumentType]
            np.testing.assert_allclose(states.hidden, hidden_of(document), atol=0.03)
        for fetched in fetching:
            fetched.result()
    assert there.num_bytes == sum(states.num_bytes for states in there._kept.values()) <= 1000
