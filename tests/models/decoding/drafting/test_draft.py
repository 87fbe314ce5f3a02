"""Trees of tokens: sharing, cutting, and finding one's own again after a graft."""

from hypothesis import given
from hypothesis import strategies as st

from qdts.models.decoding.drafting.draft import ROOT, UNKNOWN, Draft, unmapped

TOKENS = st.lists(st.integers(0, 3), max_size=6)


def paths(draft: Draft) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = []
    for token, parent in zip(draft.tokens, draft.parents, strict=True):
        found.append((*(found[parent] if parent != ROOT else ()), token))
    return found


def test_a_chain() -> None:
    assert Draft.chain([5, 6, 7]).parents == [ROOT, 0, 1]
    assert Draft.chain([5, 6, 7]).is_chain and Draft().is_chain
    assert not Draft([5, 6], [ROOT, ROOT]).is_chain


@given(st.lists(TOKENS, max_size=5), st.integers(0, 12))
def test_grafted_chains_share_their_prefixes_and_stay_within_the_bound(chains: list[list[int]], bound: int) -> None:
    tree = Draft()
    for chain in chains:
        before = len(tree)
        places = tree.graft(Draft.chain(chain), bound)
        assert len(tree) <= max(bound, before)
        for depth, place in enumerate(places):
            assert place == ROOT or paths(tree)[place] == tuple(chain[: depth + 1])
        cut = [place == ROOT for place in places]
        assert cut == sorted(cut), "behind a token that is cut nothing stands"
    assert len(set(paths(tree))) == len(tree), "what is shared stands once"
    if bound >= sum(map(len, chains)):
        assert set(paths(tree)) == {tuple(chain[: n + 1]) for chain in chains for n in range(len(chain))}


def test_children_are_listed_under_their_parents() -> None:
    tree = Draft([1, 2, 3, 4], [ROOT, 0, 0, ROOT])
    assert tree.children() == [[1, 2], [], [], [], [0, 3]]
    assert tree.children()[ROOT] == [0, 3]


def test_choices_find_back_to_the_draft_they_are_for() -> None:
    tree = Draft.chain([1, 2])
    places = tree.graft(Draft.chain([1, 9, 9]), 3)
    assert places == [0, 2, ROOT]
    assert unmapped([10, 20, 30], places) == [10, 30, UNKNOWN]
