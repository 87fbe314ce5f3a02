"""The oracle writes through every drafter from states that were read once."""

from collections.abc import Sequence
from pathlib import Path

from qdts.loadtest.decoding.documents import Documents
from qdts.loadtest.decoding.drafters import GATED, PLAIN, drafters
from qdts.loadtest.decoding.figures import figures_of, is_lossless
from qdts.loadtest.decoding.passes import compare
from qdts.loadtest.peers.requests import open_builder
from qdts.models.evaluation.rows import EvalRow
from qdts.models.runtimes.base import Ids, States
from qdts.models.runtimes.config import RuntimeConfig
from qdts.models.runtimes.eager import EagerRuntime
from qdts.models.summarizer import open_gate


class Counting(EagerRuntime):
    num_read = 0

    def encode(self, documents: Sequence[Ids]) -> list[States]:
        self.num_read += len(documents)
        return super().encode(documents)


def test_every_drafter_writes_the_same_from_states_read_once(model: Path, rows: list[EvalRow], tmp_path: Path) -> None:
    runtime = Counting.load(model, RuntimeConfig(precision="fp32", num_threads=1))
    gate = open_gate(runtime, 2)
    documents = Documents.read(runtime, open_builder(model), rows, tmp_path)
    num_read = runtime.num_read
    assert documents.read_ms > 0
    for size in (1, 2):
        groups = documents.groups(len(rows), size)
        found = compare(runtime, documents, groups, gate, names=tuple(drafters()), min_pairs=5)
        assert set(found.tallies) == set(drafters())
        assert is_lossless(figures_of(found, documents.read_ms))
        assert all(len(tally.outputs) == len(rows) for tally in found.tallies.values())
        assert all(tally.num_steps <= found.tallies[PLAIN].num_steps for tally in found.tallies.values())
        # Each batch is paired equally often.
        assert len(found.pairs) >= 5 and len(found.pairs) % len(groups) == 0
    assert runtime.num_read == num_read
    short = compare(runtime, documents, [[2]], gate, names=(PLAIN, GATED), min_pairs=1)
    assert set(short.tallies) == {PLAIN, GATED} and len(short.pairs) == 1


def test_a_sample_is_spread_over_all_rows(tmp_path: Path) -> None:
    documents = Documents(tmp_path, [1.0] * 10)
    assert documents.groups(5, 2) == [[0, 2], [4, 6], [8]]
    assert documents.groups(99, 8) == [[0, 1, 2, 3, 4, 5, 6, 7], [8, 9]]
