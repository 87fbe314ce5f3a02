"""n-grams the net wrote beside the output become drafts."""

from collections.abc import Sequence

import pytest

from qdts.models.decoding.drafting.draft import UNKNOWN, Draft
from qdts.models.decoding.drafting.jacobi import JacobiDrafter


def count_up(draft: Draft) -> list[int]:
    """A net that always counts on."""
    return [(token + 1) % 100 for token in draft.tokens]


def test_the_window_is_a_chain_with_a_branch_per_column() -> None:
    drafter = JacobiDrafter(range(50), window=3, ngram=4)
    draft = drafter.draft(99)
    assert len(draft) == len(set(draft.tokens)) == 3 * 3
    assert draft.parents == [-1, 0, 1, 0, 1, 2, 3, 4, 5]


def test_a_net_s_own_ngrams_are_drafted_after_their_first_token() -> None:
    drafter = JacobiDrafter([10, 20, 30], window=4, ngram=4, candidates=3)
    for _ in range(6):
        drafter.observe(count_up(drafter.draft(99)))
    known = drafter.draft(99).tokens[0]  # level 0 of the window: what the net said some steps ago
    drafter.extend([known - 3])
    drafter.observe(count_up(drafter.draft(99)))
    drafter.extend([known])
    assert drafter.draft(3).tokens == [known + 1, known + 2, known + 3]


def test_a_window_that_was_cut_does_not_move() -> None:
    drafter = JacobiDrafter(range(50), window=3, ngram=3)
    whole = drafter.draft(99)
    cut = drafter.draft(4)
    assert cut.tokens == whole.tokens[:4]
    drafter.observe(count_up(cut))
    assert drafter.draft(99).tokens == whole.tokens
    drafter.observe([UNKNOWN] * len(whole))
    assert drafter.draft(99).tokens == whole.tokens


def test_no_more_candidates_than_asked_for() -> None:
    drafter = JacobiDrafter([1], window=1, ngram=2, candidates=2)
    drafter.extend([1])
    answers: Sequence[int] = (11, 1, 12, 1, 13, 1)
    for answer in answers:
        drafter.observe([answer] * len(drafter.draft(99)))
    firsts = [token for token, parent in zip(*_candidates(drafter), strict=True) if parent == -1]
    assert set(firsts) <= {12, 13, 1}


def _candidates(drafter: JacobiDrafter) -> tuple[list[int], list[int]]:
    draft = drafter.draft(99)
    return draft.tokens, draft.parents


def test_an_empty_prompt_will_do() -> None:
    assert len(JacobiDrafter([]).draft(99))


@pytest.mark.parametrize("changes", [{"ngram": 1}, {"window": 0}, {"candidates": 0}])
def test_bad_settings_are_named(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="ngram must be at least 2"):
        JacobiDrafter([1], **changes)
