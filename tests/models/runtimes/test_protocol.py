"""What `runtimes.base.Runtime` promises, for every runtime: one token at a time, alone, from scratch."""

from dataclasses import replace

import numpy as np
import pytest

from qdts.models.runtimes.base import Allowed, Batch, Floats, Ids, Noise, Runtime

Documents = list[Ids]
Features = list[Floats | None]
PROMPT = np.array([0, 5, 9, 77, 31, 64, 12, 101, 3, 90])


def open_batch(runtime: Runtime, documents: Documents, features: Features) -> Batch:
    return runtime.start(runtime.encode(documents), features)


def feed(runtime: Runtime, batch: Batch, tokens: Ids, allowed: Allowed | None = None) -> Ids:
    """The same tokens (T,) to every row; choices (B, T)."""
    num_rows = len(batch.lengths)
    return runtime.step(batch, np.tile(tokens, (num_rows, 1)), np.full(num_rows, len(tokens)), allowed)


def generate(runtime: Runtime, batch: Batch, num_tokens: int, last: Ids | None = None) -> Ids:
    """Greedy, one token per step: (B, num_tokens)."""
    tokens = np.zeros(len(batch.lengths), np.int64) if last is None else last
    out: list[Ids] = []
    for _ in range(num_tokens):
        tokens = runtime.step(batch, tokens[:, None], np.ones(len(tokens), np.int64))[:, 0]
        out.append(tokens)
    return np.stack(out, axis=1)


def test_the_model_says_something(runtime: Runtime, documents: Documents, features: Features) -> None:
    said = generate(runtime, open_batch(runtime, documents, features), 20)
    assert len(np.unique(said)) > 10
    assert not np.array_equal(said[0], said[1])


@pytest.mark.parametrize("split", [(10,), (5, 5), (1, 8, 1), (3, 3, 3, 1)])
def test_tokens_in_one_step_are_tokens_one_by_one(
    runtime: Runtime, documents: Documents, features: Features, split: tuple[int, ...]
) -> None:
    expected_batch = open_batch(runtime, documents, features)
    expected = np.concatenate([feed(runtime, expected_batch, PROMPT[i : i + 1]) for i in range(10)], axis=1)

    batch = open_batch(runtime, documents, features)
    pieces = np.split(PROMPT, np.cumsum(split)[:-1])
    actual = np.concatenate([feed(runtime, batch, piece) for piece in pieces], axis=1)

    assert actual.tolist() == expected.tolist()
    assert generate(runtime, batch, 8).tolist() == generate(runtime, expected_batch, 8).tolist()


def test_a_row_of_a_batch_is_that_row_alone(runtime: Runtime, documents: Documents, features: Features) -> None:
    together = generate(runtime, open_batch(runtime, documents, features), 40)
    for row, (document, own) in enumerate(zip(documents, features, strict=True)):
        alone = generate(runtime, open_batch(runtime, [document], [own]), 40)
        assert together[row].tolist() == alone[0].tolist()


def test_states_do_not_depend_on_the_batch(runtime: Runtime, documents: Documents) -> None:
    together = runtime.encode(documents)
    for states, document in zip(together, documents, strict=True):
        (alone,) = runtime.encode([document])
        assert states.hidden.shape == (len(document), 32)
        np.testing.assert_allclose(states.hidden, alone.hidden, rtol=1e-4, atol=1e-4)


def test_rows_advance_by_different_counts(runtime: Runtime, documents: Documents, features: Features) -> None:
    batch = open_batch(runtime, documents, features)
    tokens = np.tile(PROMPT, (3, 1))
    first = runtime.step(batch, tokens, np.array([10, 0, 4]))
    assert batch.lengths.tolist() == [10, 0, 4]
    second = runtime.step(batch, tokens, np.array([0, 10, 0]))
    third = runtime.step(batch, tokens[:, 4:], np.array([0, 0, 6]))
    assert batch.lengths.tolist() == [10, 10, 10]

    expected_batch = open_batch(runtime, documents, features)
    expected = feed(runtime, expected_batch, PROMPT)
    assert first[0].tolist() == expected[0].tolist()
    assert second[1].tolist() == expected[1].tolist()
    assert [*first[2, :4], *third[2, :6]] == expected[2].tolist()
    assert generate(runtime, batch, 5).tolist() == generate(runtime, expected_batch, 5).tolist()


def test_nothing_to_do_changes_nothing(runtime: Runtime, documents: Documents, features: Features) -> None:
    batch = open_batch(runtime, documents, features)
    runtime.step(batch, np.zeros((3, 1), np.int64), np.zeros(3, np.int64))
    assert batch.lengths.tolist() == [0, 0, 0]


def test_what_is_not_kept_is_forgotten(runtime: Runtime, documents: Documents, features: Features) -> None:
    batch = open_batch(runtime, documents, features)
    feed(runtime, batch, PROMPT)
    feed(runtime, batch, PROMPT[::-1].copy())
    runtime.keep(batch, [np.arange(4), np.arange(0), np.arange(10)])
    assert batch.lengths.tolist() == [14, 10, 20]
    after = generate(runtime, batch, 6, last=np.array([7, 8, 9]))

    fresh = open_batch(runtime, documents, features)
    feed(runtime, fresh, PROMPT)
    runtime.step(fresh, np.tile(PROMPT[::-1], (3, 1)), np.array([4, 0, 10]))
    assert after.tolist() == generate(runtime, fresh, 6, last=np.array([7, 8, 9])).tolist()


# What each of ten tokens follows; -1 is what was there before. Two roots, and branches of branches.
TREE = np.array([-1, 0, 1, 1, 0, 4, -1, 6, 3, 8])


def path_to(column: int) -> list[int]:
    """The columns from a root to this one."""
    return [] if column < 0 else [*path_to(int(TREE[column])), column]


def test_a_token_of_a_tree_sees_its_ancestors_alone(runtime: Runtime, documents: Documents, features: Features) -> None:
    tokens = np.random.default_rng(8).integers(2, 128, (3, 10))
    batch = open_batch(runtime, documents, features)
    feed(runtime, batch, PROMPT[:5])
    chosen = runtime.step(batch, tokens, np.full(3, 10), parents=np.tile(TREE, (3, 1)))
    for column in range(10):
        path = path_to(column)
        chain = open_batch(runtime, documents, features)
        feed(runtime, chain, PROMPT[:5])
        assert chosen[:, path].tolist() == runtime.step(chain, tokens[:, path], np.full(3, len(path))).tolist()


def test_a_path_of_a_tree_is_kept(runtime: Runtime, documents: Documents, features: Features) -> None:
    """Each row another path, and a row whose tree is smaller."""
    tokens = np.random.default_rng(9).integers(2, 128, (3, 10))
    batch = open_batch(runtime, documents, features)
    feed(runtime, batch, PROMPT[:5])
    runtime.step(batch, tokens, np.array([10, 10, 8]), parents=np.tile(TREE, (3, 1)))
    paths = [np.array(path_to(column)) for column in (9, 2, 7)]
    runtime.keep(batch, paths)
    assert batch.lengths.tolist() == [5 + len(path) for path in paths]
    after = generate(runtime, batch, 6, last=np.array([7, 8, 9]))

    chain = open_batch(runtime, documents, features)
    feed(runtime, chain, PROMPT[:5])
    rows = np.zeros((3, 5), np.int64)
    for row, path in enumerate(paths):
        rows[row, : len(path)] = tokens[row, path]
    runtime.step(chain, rows, np.array([len(path) for path in paths]))
    assert after.tolist() == generate(runtime, chain, 6, last=np.array([7, 8, 9])).tolist()


def test_a_cache_grows_past_its_first_slots(runtime: Runtime, documents: Documents, features: Features) -> None:
    long = np.random.default_rng(5).integers(2, 128, 150)
    batch = open_batch(runtime, documents, features)
    expected = feed(runtime, batch, long)
    batch = open_batch(runtime, documents, features)
    actual = np.concatenate([feed(runtime, batch, piece) for piece in np.split(long, 15)], axis=1)
    assert actual.tolist() == expected.tolist()


def test_only_permitted_tokens_are_chosen(runtime: Runtime, documents: Documents, features: Features) -> None:
    free = feed(runtime, open_batch(runtime, documents, features), PROMPT)
    random = np.random.default_rng(3)
    allowed = [[random.permutation(128)[:5] for _ in PROMPT] for _ in documents]
    allowed[0][0] = np.arange(128)
    allowed[0][1] = np.array([17])
    mixed: Allowed = [allowed[0], [*allowed[1][:9], None], allowed[2]]
    chosen = feed(runtime, open_batch(runtime, documents, features), PROMPT, mixed)
    assert chosen[0, 0] == free[0, 0]
    assert chosen[0, 1] == 17
    assert chosen[1, 9] == free[1, 9]
    for row in (0, 2):
        assert all(token in ids for token, ids in zip(chosen[row], allowed[row], strict=True))


def test_features_are_heard(runtime: Runtime, documents: Documents, features: Features) -> None:
    with_features = open_batch(runtime, documents[:1], features[:1])
    without = open_batch(runtime, documents[:1], [None])
    assert generate(runtime, with_features, 20).tolist() != generate(runtime, without, 20).tolist()


def test_read_only_arrays_are_welcome(runtime: Runtime, documents: Documents, features: Features) -> None:
    """States and features may come out of a cache."""
    states, given = runtime.encode(documents[:1])[0], features[0]
    assert given is not None
    states.hidden.setflags(write=False)
    given.setflags(write=False)
    assert generate(runtime, runtime.start([states], [given]), 3).shape == (1, 3)


def test_sampled_tokens_are_the_same_one_by_one_and_at_once(
    runtime: Runtime, documents: Documents, features: Features
) -> None:
    """So a drafted sample is the sample without drafts."""
    noise = [Noise(seed=1, temperature=1.5), None, Noise(seed=2, temperature=0.7)]
    states = runtime.encode(documents)
    alone = generate(runtime, runtime.start(states, features, noise), 12)
    greedy = generate(runtime, runtime.start(states, features), 12)
    assert alone[1].tolist() == greedy[1].tolist()
    assert alone[0].tolist() != greedy[0].tolist()
    again = runtime.start(states, features, noise)
    fed = np.concatenate([np.zeros((3, 1), np.int64), alone[:, :-1]], axis=1)
    assert runtime.step(again, fed, np.full(3, 12)).tolist() == alone.tolist()
    other = runtime.start(states, features, [replace(one, seed=9) if one else None for one in noise])
    assert generate(runtime, other, 12)[0].tolist() != alone[0].tolist()
