"""No constraint: everything is allowed until the end id."""

from qdts.models.decoding.base import FreeState


def test_a_free_state_ends_at_the_end_id_alone() -> None:
    state = FreeState(end_id=1)
    for token in (5, 0, 7):
        assert state.allowed() is None
        state.advance(token)
        assert not state.finished
    state.advance(1)
    assert state.finished


def test_a_copy_goes_its_own_way() -> None:
    state = FreeState(end_id=1)
    twin = state.copy()
    twin.advance(1)
    assert twin.finished and not state.finished
    assert twin.copy().finished
