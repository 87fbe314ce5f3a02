"""The output layer of an ONNX model: a graph for the whole vocabulary, the table for a few ids.

numpy multiplies with threads of its own, which go on spinning for a while and slow down whatever computes next; a graph
has its session's threads. It is opened at the first free choice: copy-constrained decoding makes none.
Shapes: N positions · K permitted ids · C hidden · V vocabulary.
"""

from collections.abc import Callable
from functools import cached_property
from typing import cast

from qdts.models.runtimes.base import Floats, Ids
from qdts.models.runtimes.embedding import Table
from qdts.models.runtimes.graph import Graph

HEAD = "head.onnx"
_CHOICE, _SCORES = "choice", "scores"


class OnnxHead:
    """See `choice.Head`."""

    def __init__(self, table: Table, open_graph: Callable[[], Graph]) -> None:
        self._table = table
        self._open_graph = open_graph

    def best(self, hidden: Floats) -> Ids:
        """(N, C) -> (N,)"""
        return cast(Ids, self._graph.run(hidden, outputs=(_CHOICE,))[0])

    def scores(self, hidden: Floats, ids: Ids | None) -> Floats:
        """(N, C) -> (N, K), or (N, V) where ids is None"""
        if ids is None:
            return self._graph.run(hidden, outputs=(_SCORES,))[0]
        return self._table.scores(hidden, ids)

    @cached_property
    def _graph(self) -> Graph:
        return self._open_graph()
