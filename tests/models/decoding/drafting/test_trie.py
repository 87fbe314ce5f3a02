"""What was often written is drafted; what is not seen again is forgotten."""

import random

from hypothesis import given
from hypothesis import strategies as st

from qdts.models.decoding.drafting.draft import ROOT
from qdts.models.decoding.drafting.trie import OutputTrie, TrieDrafter


def written(trie: OutputTrie, *outputs: list[int]) -> None:
    for output in outputs:
        TrieDrafter(trie).extend(output)


def test_the_most_frequent_branches_come_first() -> None:
    trie = OutputTrie()
    written(trie, [1, 2, 3, 4], [1, 2, 3, 5], [1, 2, 3, 5], [1, 2, 9])
    drafter = TrieDrafter(trie)
    assert len(drafter.draft(9)) == 0
    drafter.extend([1, 2])
    draft = drafter.draft(9)
    assert draft.tokens == [3, 5, 4, 9] or draft.tokens == [3, 5, 9, 4]
    assert draft.parents[:2] == [ROOT, 0]
    assert drafter.draft(2).tokens == [3, 5]


def test_longer_contexts_decide() -> None:
    trie = OutputTrie()
    written(trie, [7, 1, 2, 3], [8, 1, 2, 4], [8, 1, 2, 4])
    drafter = TrieDrafter(trie)
    drafter.extend([7, 1, 2])
    assert drafter.draft(9).tokens == [3]


def test_a_sequence_drafts_from_itself_too() -> None:
    drafter = TrieDrafter(OutputTrie())
    drafter.extend([4, 5, 6, 4, 5])
    assert drafter.draft(1).tokens == [6]


def test_branches_are_no_longer_than_the_trie_remembers() -> None:
    trie = OutputTrie(branch_length=4)
    written(trie, [1, 2, 3, 4, 5, 6])
    drafter = TrieDrafter(trie)
    drafter.extend([1, 2])
    assert drafter.draft(9).tokens == [3, 4]


@given(st.integers(0, 1000))
def test_the_trie_stays_within_its_bound_and_counts_its_nodes(seed: int) -> None:
    chance = random.Random(seed)
    trie = OutputTrie(branch_length=5, max_nodes=60)
    drafters = [TrieDrafter(trie) for _ in range(3)]
    for _ in range(60):
        chance.choice(drafters).extend([chance.randrange(6) for _ in range(3)])
        assert trie.num_nodes == trie.root().size() - 1 <= 60


def test_what_is_frequent_survives_pruning() -> None:
    trie = OutputTrie(branch_length=4, max_nodes=200)
    written(trie, *[[1, 2, 3, 4]] * 50)
    written(trie, *[[100 + index, 200 + index, 300 + index] for index in range(60)])
    assert trie.num_prunings
    drafter = TrieDrafter(trie)
    drafter.extend([1, 2])
    assert drafter.draft(9).tokens == [3, 4]
