"""A sentence is as close to the query as the mean of its states is."""

import numpy as np
import pytest

from qdts.models.interaction import NUM_STATE_FEATURES
from qdts.models.similarity import SCALE, similarity_features
from qdts.models.tokenizer import DOCUMENT, END, marker

IDS = np.array([DOCUMENT, marker(3), 100, 101, marker(4), 102, marker(5), 103, 104, 105, END])
SENTENCES = ((1, 4), (4, 6), (6, 11))


@pytest.fixture
def states() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(len(IDS), 16)).astype(np.float32)


@pytest.fixture
def query_states() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(4, 16)).astype(np.float32)


def test_every_token_of_a_sentence_has_its_cosine_and_share(states: np.ndarray, query_states: np.ndarray) -> None:
    features = similarity_features(IDS, states, query_states)
    assert features.shape == (len(IDS), NUM_STATE_FEATURES) and features.dtype == np.float32
    assert not features[0].any()  # before the first sentence
    query = query_states.mean(axis=0)
    cosines = []
    for first, end in SENTENCES:
        mean = states[first:end].mean(axis=0)
        cosines.append(mean @ query / np.linalg.norm(mean) / np.linalg.norm(query))
        assert (features[first:end] == features[first]).all()
    shares = np.exp(SCALE * np.array(cosines))
    expected = np.stack([cosines, shares / shares.sum(), shares / shares.max()], axis=1)
    np.testing.assert_allclose(features[[first for first, _ in SENTENCES]], expected, rtol=1e-4)


def test_the_sentence_that_is_the_query_wins(states: np.ndarray) -> None:
    features = similarity_features(IDS, states, states[4:6])
    assert features[4, 0] == pytest.approx(1, abs=1e-6) and features[4, 2] == 1
    assert (features[6:, 2] < 1).all() and (features[1:4, 2] < 1).all()


def test_states_of_nothing_are_close_to_nothing(states: np.ndarray, query_states: np.ndarray) -> None:
    """No sentence, no state, no number that is not one."""
    assert not similarity_features(IDS[:1], states[:1], query_states).any()
    features = similarity_features(IDS, np.zeros_like(states), np.zeros_like(query_states))
    assert np.isfinite(features).all() and not features[:, 0].any()
