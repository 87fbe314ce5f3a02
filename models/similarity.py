"""How close each sentence lies to the query by the encoder's states: the interaction features that need a forward pass.

A sentence is its marker and what follows, up to the next; it and the query, encoded alone, are the means of their
states. The query passes the encoder by itself in both modes, so what is kept of a document stays query-free.
Training computes the same in torch (`training/similarity.py`).

Shapes: S document tokens · Q query tokens · N sentences · C hidden.
"""

import numpy as np

from qdts.models.interaction import NUM_STATE_FEATURES
from qdts.models.runtimes.base import Floats, Ids
from qdts.models.tokenizer import is_marker

# Cosines lie close together: their softmax is taken of this many times the cosine, in training as here.
SCALE = 20.0


def similarity_features(ids: Ids, states: Floats, query_states: Floats) -> Floats:
    """Columns 10 to 12 for a document's tokens: ids (S,), states (S, C), query_states (Q, C) -> (S, 3)."""
    features = np.zeros((len(ids), NUM_STATE_FEATURES), np.float32)
    starts = np.flatnonzero(is_marker(ids))  # (N,)
    if not len(starts):
        return features
    lengths = np.diff([*starts, len(ids)])
    sums = np.add.reduceat(states, starts, axis=0)  # (N, C)
    query = query_states.sum(axis=0)
    # A mean and a sum have the same direction.
    norms = np.linalg.norm(sums, axis=1) * np.linalg.norm(query)
    cosines = sums @ query / np.maximum(norms, 1e-6)  # (N,)
    raised = np.exp(SCALE * (cosines - cosines.max()))
    columns = np.stack([cosines, raised / raised.sum(), raised], axis=1)
    features[starts[0] :] = np.repeat(columns, lengths, axis=0)
    return features
