"""The cuda runtime writes what eager writes, in fp32 token for token, whatever is asked in whatever order."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from qdts.errors import Unsupported
from qdts.models.decoding.base import FreeState
from qdts.models.decoding.drafting.copying import CopyDrafter
from qdts.models.decoding.greedy import GreedyDecoder, Row
from qdts.models.runtimes.base import Allowed, Floats, Ids, Noise, Runtime, States
from qdts.models.runtimes.cuda.runtime import CudaRuntime, pack
from qdts.models.runtimes.cuda.shapes import CudaShapes
from qdts.models.tokenizer import END

Make = Callable[..., CudaRuntime]
MakeEager = Callable[..., Runtime]
Documents = list[Ids]
Features = list[Floats | None]
VOCAB_SIZE = 96
# What each of eight tokens follows; -1 is what was there before.
TREE = np.array([-1, 0, 1, 1, -1, 4, 3, 6])


def replay(
    runtime: Runtime, documents: Documents, features: Features, noise: Sequence[Noise | None] = (), *, times: int = 1
) -> list[list[int]]:
    """Choices of steps of every kind: chains of uneven length, a tree of which paths are kept, permitted ids.

    Where it is to be seen that a step leaves nothing behind for the next of its kind, `times` is two.
    """
    random = np.random.default_rng(6)
    batch = runtime.start(runtime.encode(documents), features, [*noise])
    found: list[list[int]] = []

    def step(counts: list[int], allowed: Allowed | None = None, parents: Ids | None = None) -> None:
        tokens = random.integers(2, VOCAB_SIZE, (3, max(counts)))
        chosen = runtime.step(batch, tokens, np.array(counts), allowed, parents)
        found.extend(row[:count].tolist() for row, count in zip(chosen, counts, strict=True))

    for counts in ([5, 2, 0], [0, 3, 5])[-times:]:
        step(counts)
    step([8, 8, 6], parents=np.tile(TREE, (3, 1)))
    runtime.keep(batch, [np.array([0, 1, 3, 6, 7]), np.array([4, 5]), np.array([], np.int64)])
    found.append(batch.lengths.tolist())
    lists = [[random.permutation(VOCAB_SIZE)[: 2 + 9 * column] for column in range(4)] for _ in documents]
    with_end = [np.append(ids[ids != END], END) for ids in lists[1]]
    mixed: Allowed = [[lists[0][0], None, np.array([17]), lists[0][3]], with_end, [None, *lists[2][1:]]]
    for counts in ([4, 4, 3], [4, 1, 4])[-times:]:
        step(counts, mixed)
    for _ in range(times):
        step([1, 1, 1])
    return found


def test_steps_of_every_kind_are_those_of_eager(
    make_cuda: Make, make_eager: MakeEager, documents: Documents, features: Features
) -> None:
    """Without graphs: test_every_kind_of_net."""
    cuda = make_cuda()
    expected = replay(make_eager(), documents, features, times=2)
    assert len({token for row in expected for token in row}) > 20
    for _ in range(3):  # done, recorded, replayed
        assert replay(cuda, documents, features, times=2) == expected
    assert cuda.graphs.num_replayed > 10


@pytest.mark.parametrize(
    "net", [{"tied": False, "activation": "gelu"}, {"activation": "relu"}], ids=["untied-gelu", "relu"]
)
def test_every_kind_of_net(
    make_cuda: Make, make_eager: MakeEager, documents: Documents, features: Features, net: dict[str, object]
) -> None:
    expected = replay(make_eager(**net), documents, features)
    cuda = make_cuda(graphs=False, **net)
    assert replay(cuda, documents, features) == expected
    assert cuda.graphs.num_replayed == 0


def test_steps_wider_than_a_block_of_the_kernels(
    make_cuda: Make, make_eager: MakeEager, documents: Documents, features: Features
) -> None:
    """Chains in two rows, then a tree in one of them."""
    random = np.random.default_rng(4)
    tokens = random.integers(2, VOCAB_SIZE, (2, 75))
    parents = np.array([[random.integers(-1, token) for token in range(75)] for _ in range(2)])
    shapes = CudaShapes(max_rows=2, max_document=48, max_step=128, max_slots=200, max_tokens=64)
    found: list[list[list[int]]] = []
    for runtime in (make_eager(), make_cuda(shapes=shapes)):
        batch = runtime.start(runtime.encode(documents[:2]), features[:2])
        chains = runtime.step(batch, tokens, np.array([75, 70]))
        tree = runtime.step(batch, tokens, np.array([0, 75]), parents=parents)
        found.append([each.tolist() for each in (chains[0], chains[1, :70], tree[1])])
    assert found[0] == found[1]


def test_samples_are_those_of_eager(
    make_cuda: Make, make_eager: MakeEager, documents: Documents, features: Features
) -> None:
    noise = [Noise(seed=1, temperature=1.5), None, Noise(seed=2, temperature=0.7)]
    expected = replay(make_eager(), documents, features, noise)
    assert replay(make_cuda(), documents, features, noise) == expected
    assert expected != replay(make_eager(), documents, features)


def test_states_are_those_of_eager(make_cuda: Make, make_eager: MakeEager, documents: Documents) -> None:
    documents = [*documents, documents[0][:30], documents[1]]
    assert [len(group) for group in pack(documents, 64)] == [3, 2]
    cuda = make_cuda()
    for _ in range(3):
        for ours, oracle in zip(cuda.encode(documents), make_eager().encode(documents), strict=True):
            np.testing.assert_allclose(ours.hidden, oracle.hidden, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("precision", "error"), [("fp16", 0.01), ("int8", 0.01)])
def test_fewer_bits_are_close(
    make_cuda: Make, make_eager: MakeEager, documents: Documents, features: Features, precision: str, error: float
) -> None:
    cuda, eager = make_cuda(precision), make_eager()
    for ours, oracle in zip(cuda.encode(documents), eager.encode(documents), strict=True):
        assert np.linalg.norm(ours.hidden - oracle.hidden) < error * np.linalg.norm(oracle.hidden)
    ours, oracle = (replay(runtime, documents, features) for runtime in (cuda, eager))
    pairs = [pair for rows in zip(ours, oracle, strict=True) for pair in zip(*rows, strict=True)]
    assert np.mean([mine == other for mine, other in pairs]) > 0.9


def test_drafts_change_the_steps_alone(
    make_cuda: Make, make_eager: MakeEager, documents: Documents, features: Features
) -> None:
    def decode(runtime: Runtime, max_draft: int) -> tuple[list[list[int]], int]:
        batch = runtime.start(runtime.encode(documents), features)
        rows = [Row([0], FreeState(END), CopyDrafter([ids.tolist()], min_match=1)) for ids in documents]
        decoder = GreedyDecoder(runtime, batch, rows, max_tokens=12, max_draft=max_draft)
        while decoder.active:
            decoder.step()
        return [row.tokens for row in decoder.rows.values()], decoder.num_steps

    plain, num_steps = decode(make_eager(), 0)
    drafted, fewer_steps = decode(make_cuda(), 8)
    assert drafted == plain
    assert fewer_steps <= num_steps


def test_states_from_elsewhere_are_as_good(make_cuda: Make, documents: Documents, features: Features) -> None:
    runtime = make_cuda(graphs=False)
    own = runtime.encode(documents)
    kept = [States(hidden=each.hidden.copy()) for each in own]
    kept[0].hidden.setflags(write=False)
    found: list[list[list[int]]] = []
    for states in (own, kept, [own[0], *kept[1:]]):
        batch = runtime.start(states, features)
        found.append(runtime.step(batch, np.full((3, 4), 5), np.full(3, 4)).tolist())
        del batch
    assert found[0] == found[1] == found[2]


def test_batches_do_not_disturb_one_another(make_cuda: Make, documents: Documents, features: Features) -> None:
    runtime = make_cuda()
    states = runtime.encode(documents)
    one, other = (runtime.start([states[row]], [features[row]]) for row in (0, 1))
    alone: list[list[int]] = []
    for batch in (one, other):
        chosen = runtime.step(batch, np.array([[0, 9, 12]]), np.array([3]))
        alone.append(chosen[0].tolist())
    again = [runtime.start([states[row]], [features[row]]) for row in (0, 1)]
    steps = [
        [runtime.step(batch, np.array([[token]]), np.ones(1, np.int64)) for batch in again] for token in (0, 9, 12)
    ]
    assert [[int(step[row][0, 0]) for step in steps] for row in (0, 1)] == alone


def test_sequences_join_and_leave(make_cuda: Make, documents: Documents, features: Features) -> None:
    """One leaves, its memory goes to another, and each writes what it writes alone."""
    runtime = make_cuda()
    states, one = runtime.encode(documents), np.ones(1, np.int64)
    noise = [Noise(seed=4, temperature=2.0)]
    alone: list[list[int]] = []
    for row, drawn in ((0, []), (1, noise)):
        batch = runtime.start([states[row]], [features[row]], drawn)
        alone.append([int(runtime.step(batch, np.array([[token]]), one)[0, 0]) for token in (0, 9, 12)])
        del batch
    batch = runtime.start([states[2], states[0]], [features[2], features[0]])
    found = [runtime.step(batch, np.array([[0], [0]]), np.ones(2, np.int64))]
    assert runtime.leave(batch, np.array([0])).tolist() == [1]
    assert batch.lengths.tolist() == [1]
    runtime.join(batch, [states[1]], [features[1]], noise)
    runtime.join(batch, [states[2]], [features[2]])
    tokens = iter(([9, 0, 0], [12, 9, 0], [0, 12, 0]))
    found += [runtime.step(batch, np.array([next(tokens)]).T, np.array([index < 2, 1, 0])) for index in range(3)]
    assert [int(found[0][1, 0]), *(int(chosen[0, 0]) for chosen in found[1:3])] == alone[0]
    assert [int(chosen[1, 0]) for chosen in found[1:]] == alone[1]
    assert runtime.leave(batch, np.array([0, 1])).tolist() == [2]
    del batch
    again = runtime.start(states + states[:1], [None] * 4)
    assert sorted(again.rows.tolist()) == [0, 1, 2, 3], "each row was given back once"


def test_rows_are_given_back_with_their_batch(make_cuda: Make, documents: Documents) -> None:
    runtime = make_cuda()
    states = runtime.encode(documents)
    for _ in range(3):
        batch = runtime.start(states, [None] * 3)
        with pytest.raises(Unsupported, match="2 sequences more: the runtime holds 4 at a time, 1 of them are free"):
            runtime.start(states[:2], [None] * 2)
        runtime.step(batch, np.zeros((3, 2), np.int64), np.full(3, 2))
        del batch
    assert runtime.start(states, [None] * 3).lengths.tolist() == [0, 0, 0]


def test_what_is_too_large_is_refused(make_cuda: Make) -> None:
    runtime = make_cuda()
    with pytest.raises(Unsupported, match="a document of 49 tokens: the runtime takes 48 at most"):
        runtime.encode([np.ones(49, np.int64)])
    batch = runtime.start(runtime.encode([np.arange(2, 6)]), [None])
    with pytest.raises(Unsupported, match="a step of 17 tokens: the runtime takes 16 at most"):
        runtime.step(batch, np.zeros((1, 17), np.int64), np.array([17]))
    for _ in range(3):
        runtime.step(batch, np.zeros((1, 16), np.int64), np.array([16]))
    with pytest.raises(Unsupported, match="64 tokens in a row: the runtime takes 63 at most"):
        runtime.step(batch, np.zeros((1, 16), np.int64), np.array([16]))
    assert batch.lengths.tolist() == [48]


def test_what_no_kernel_is_written_for_is_refused_at_once(make_cuda: Make) -> None:
    with pytest.raises(Unsupported, match="computes in fp32, fp16, bf16, int8, not fp8"):
        make_cuda("fp8")
    with pytest.raises(Unsupported, match="head_dim must be a power of two from 16 to 128, is 8"):
        make_cuda(d_kv=8)


def test_info_says_what_runs(make_cuda: Make) -> None:
    runtime = make_cuda("bf16")
    assert (runtime.info.name, runtime.info.precision, runtime.num_features) == ("cuda", "bf16", 3)
