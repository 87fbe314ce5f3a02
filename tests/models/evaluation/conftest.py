"""A handful of rows and an embedder small enough to follow by hand."""

from collections.abc import Sequence

import numpy as np
import pytest

from qdts.models.evaluation.rows import EvalRow
from qdts.models.evaluation.semantic import Floats

ENGINE = (
    "The engine was built in Derby. It weighed nine tonnes and pulled six coaches. "
    "Its driver was Mary Hill, who later trained the crew of the night mail. The line closed in 1964."
)


class CountingEmbedder:
    """One dimension per letter: texts with the same letters point the same way."""

    def embed(self, texts: Sequence[str]) -> Floats:
        letters = "abcdefghijklmnopqrstuvwxyz"
        counts = np.array([[text.lower().count(letter) for letter in letters] for text in texts], np.float32)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


@pytest.fixture
def embedder() -> CountingEmbedder:
    return CountingEmbedder()


@pytest.fixture
def engine_row() -> EvalRow:
    return EvalRow(
        id="engine-1",
        set="engines",
        query="Who was the driver of the engine?",
        title="Engines",
        document=ENGINE,
        references=("Its driver was Mary Hill, who later trained the crew of the night mail.",),
        answers=("Mary Hill",),
    )
