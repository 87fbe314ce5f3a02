"""Every drafter on every runtime writes what plain decoding writes, greedily and sampled, in fewer steps or as many."""

from collections.abc import Callable, Sequence

import pytest

from qdts.models.decoding.base import FreeState
from qdts.models.decoding.drafting.base import Drafter, NoDrafter
from qdts.models.decoding.drafting.combined import CombinedDrafter
from qdts.models.decoding.drafting.copying import CopyDrafter
from qdts.models.decoding.drafting.jacobi import JacobiDrafter
from qdts.models.decoding.drafting.trie import OutputTrie, TrieDrafter
from qdts.models.decoding.greedy import GreedyDecoder, Row
from qdts.models.runtimes.base import Floats, Ids, Noise, Runtime

END = 1
Make = Callable[[Ids], Drafter]


def copy_drafter(document: Ids) -> Drafter:
    return CopyDrafter([document.tolist()], min_match=1)


def jacobi_drafter(document: Ids) -> Drafter:
    return JacobiDrafter(document.tolist(), window=4, ngram=4, candidates=3)


def trie_drafters() -> Make:
    """Of sequences that share a trie."""
    trie = OutputTrie(branch_length=6, max_nodes=300)
    return lambda document: TrieDrafter(trie, min_match=1)


def combined_drafters() -> Make:
    make_trie = trie_drafters()
    return lambda document: CombinedDrafter([copy_drafter(document), make_trie(document), jacobi_drafter(document)])


DRAFTERS: dict[str, Callable[[], Make]] = {
    "copy": lambda: copy_drafter,
    "trie": trie_drafters,
    "jacobi": lambda: jacobi_drafter,
    "combined": combined_drafters,
}


def decode(
    runtime: Runtime,
    documents: Sequence[Ids],
    features: Sequence[Floats | None],
    make: Make,
    noise: Sequence[Noise | None] = (),
) -> GreedyDecoder:
    batch = runtime.start(runtime.encode(documents), features, noise)
    rows = [Row([0], FreeState(END), make(document)) for document in documents]
    decoder = GreedyDecoder(runtime, batch, rows, max_tokens=48, max_draft=24)
    while decoder.active:
        decoder.step()
    return decoder


@pytest.mark.parametrize("kind", DRAFTERS)
def test_drafts_change_the_steps_alone(
    runtime: Runtime, documents: list[Ids], features: list[Floats | None], kind: str
) -> None:
    make = DRAFTERS[kind]()
    plain = decode(runtime, documents, features, lambda document: NoDrafter())
    first, second = (decode(runtime, documents, features, make) for _ in range(2))
    for drafted in (first, second):
        assert [row.tokens for row in drafted.rows.values()] == [row.tokens for row in plain.rows.values()]
        assert drafted.num_steps <= plain.num_steps
    if kind in ("trie", "combined"):
        assert second.num_steps < plain.num_steps, "what was written before is known"


@pytest.mark.parametrize("kind", DRAFTERS)
def test_drafts_leave_samples_alone(
    runtime: Runtime, documents: list[Ids], features: list[Floats | None], kind: str
) -> None:
    noise = [Noise(seed=5, temperature=0.8), Noise(seed=6, temperature=2.0), None]
    plain = decode(runtime, documents, features, lambda document: NoDrafter(), noise)
    drafted = decode(runtime, documents, features, DRAFTERS[kind](), noise)
    assert [row.tokens for row in drafted.rows.values()] == [row.tokens for row in plain.rows.values()]
