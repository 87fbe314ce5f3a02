"""Interaction features for engines whose own graphs know none: in numpy, between their encoder and their decoder.

Shapes: B requests · S document tokens · Q query tokens · F features · C hidden.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from qdts.loadtest.peers.base import Request, Text
from qdts.models.interaction import NUM_FEATURES
from qdts.models.runtimes.base import Floats, Ids
from qdts.models.similarity import similarity_features

# Beside the weights of a family, if its net has features: wi.weight (32, F), wi.bias (32,), wo.weight (C, 32)
INTERACTION = "interaction.safetensors"
# Queries (Q_i,) to their states, padded: (B, Q, C)
Encode = Callable[[Sequence[Ids]], Floats]


class Interaction:
    """hidden + wo(relu(wi features)), as in models/nets/interaction.py; nothing for a net without features."""

    def __init__(self, directory: Path) -> None:
        path = directory / INTERACTION
        self._tensors = load_file(path) if path.is_file() else {}

    def add(self, hidden: Floats, requests: Sequence[Request], encode: Encode) -> Floats:
        """Documents' states (B, S, C) -> the same with what the net is told of the query; text written freely has no
        features. `encode` is asked for the queries where they are compared by states."""
        if not self._tensors or requests[0].text is Text.FREE:
            return hidden
        told = hidden.copy()
        for row, features in enumerate(self._features(hidden, requests, encode)):
            told[row, : len(features)] += self._project(features)
        return told

    def _features(self, hidden: Floats, requests: Sequence[Request], encode: Encode) -> list[Floats]:
        """(S_i, F) for each request."""
        of_text = [request.prompt.features for request in requests]
        if self._tensors["wi.weight"].shape[1] != NUM_FEATURES:
            return of_text
        queries = [request.prompt.query_ids for request in requests]
        encoded = encode(queries)
        made = [
            similarity_features(request.encoder_ids, states[: len(request.encoder_ids)], own[: len(query)])
            for request, states, own, query in zip(requests, hidden, encoded, queries, strict=True)
        ]
        return [np.concatenate(pair, axis=1) for pair in zip(of_text, made, strict=True)]

    def _project(self, features: Floats) -> Floats:
        inner = features @ self._tensors["wi.weight"].T + self._tensors["wi.bias"]
        return np.maximum(inner, 0) @ self._tensors["wo.weight"].T
