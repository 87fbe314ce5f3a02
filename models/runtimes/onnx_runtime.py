"""Three ONNX graphs and a table: encoder, start, step, and the vocabulary's embedding. No torch.

Documents pass the encoder one by one: they differ in length, and two cores gain nothing from a padded batch;
so what a document's states are never depends on its neighbours, at any precision.
Shapes: B batch · S document tokens · P cached slots · T tokens of a step · H heads · D head dim · C hidden.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self, cast

import numpy as np

from qdts.errors import WeightsCorrupt
from qdts.models.runtimes.base import Allowed, Batch, Floats, Ids, Noise, RuntimeInfo, States
from qdts.models.runtimes.batching import Mask, lay_out
from qdts.models.runtimes.choice import RowNoise, choose
from qdts.models.runtimes.config import RuntimeConfig
from qdts.models.runtimes.embedding import Embedding
from qdts.models.runtimes.environment import check_onnxruntime
from qdts.models.runtimes.onnx_batch import OnnxBatch
from qdts.models.runtimes.quantization import check_weight_bits
from qdts.models.runtimes.slots import SlotCache

check_onnxruntime()  # before the import below meets a broken installation

from qdts.models.runtimes.graph import Array, Graph, num_threads  # noqa: E402
from qdts.models.runtimes.onnx_head import HEAD, OnnxHead  # noqa: E402

_STEP_INPUTS = ("embedded", "lengths", "positions", "visible", "mask")


class OnnxRuntime:
    """See `runtimes.base.Runtime`."""

    def __init__(
        self, graphs: Path, config: RuntimeConfig, open_graph: Callable[[Path, RuntimeConfig], Graph] = Graph
    ) -> None:
        self._config = config
        self._embedding = Embedding.load(graphs)
        self._encoder = open_graph(graphs / "encoder.onnx", config)
        self._start = open_graph(graphs / "start.onnx", config)
        self._step = open_graph(graphs / "step.onnx", config)
        self._head = OnnxHead(self._embedding.head, lambda: open_graph(graphs / HEAD, config))
        # start: hidden, and for a network with interaction features: features, present
        has_features = len(self._start.names) > 1
        self._num_features = cast(int, self._start.shape("features")[2]) if has_features else 0
        # step: these, then the document's arrays, then the cache's.
        if tuple(self._step.names[: len(_STEP_INPUTS)]) != _STEP_INPUTS:
            raise WeightsCorrupt(
                f"{graphs / 'step.onnx'} begins with inputs {self._step.names[:3]}, not {list(_STEP_INPUTS)}: it was "
                "exported by another version; export the model anew with `qdts train release`"
            )
        self._num_arrays = (len(self._step.names) - len(_STEP_INPUTS)) // 2
        _, self._num_heads, _, self._head_dim = cast(list[int], self._step.shape(self._step.names[-1]))

    @classmethod
    def load(cls, directory: Path, config: RuntimeConfig) -> Self:
        """The graphs of a model directory at the precision asked for; Unsupported where this CPU runs them wrong."""
        graphs = directory / "onnx" / config.precision
        check_weight_bits(graphs, config.providers)
        return cls(graphs, config)

    @property
    def num_features(self) -> int:
        """Interaction features per token."""
        return self._num_features

    @property
    def info(self) -> RuntimeInfo:
        """What this runtime is."""
        device = "cuda:0" if self._config.providers[0] == "CUDAExecutionProvider" else "cpu"
        threads = num_threads(self._config)
        return RuntimeInfo(name="onnx", precision=self._config.precision, device=device, num_threads=threads)

    def encode(self, documents: Sequence[Ids]) -> list[States]:
        """Ids (S_i,) per document -> states (S_i, C) per document."""
        return [States(hidden=self._encode(document)) for document in documents]

    def start(
        self, states: Sequence[States], features: Sequence[Floats | None], noise: Sequence[Noise | None] = ()
    ) -> OnnxBatch:
        """Add the projected features, project the document's keys and values; nothing decoded yet."""
        documents = [self._project(*row) for row in zip(states, features, strict=True)]
        cache = SlotCache(self._num_arrays, len(documents), self._num_heads, self._head_dim)
        return OnnxBatch(documents, cache, noise)

    def join(
        self,
        batch: Batch,
        states: Sequence[States],
        features: Sequence[Floats | None],
        noise: Sequence[Noise | None] = (),
    ) -> None:
        """Open further sequences behind those of the batch."""
        documents = [self._project(*row) for row in zip(states, features, strict=True)]
        cast(OnnxBatch, batch).join(documents, noise)

    def leave(self, batch: Batch, rows: Ids) -> Ids:
        """Close these sequences; which of the old rows each of the others was."""
        return cast(OnnxBatch, batch).leave(rows)

    def step(
        self, batch: Batch, tokens: Ids, counts: Ids, allowed: Allowed | None = None, parents: Ids | None = None
    ) -> Ids:
        """Append counts[b] of tokens (B, T) to each sequence; the choice (B, T) after each."""
        chosen = np.zeros(tokens.shape, np.int64)
        held, rows = cast(OnnxBatch, batch), np.flatnonzero(counts)
        if len(rows):
            width = int(counts.max())
            tree = None if parents is None else parents[rows, :width]
            layout = lay_out(held.lengths[rows], width, tree)
            hidden = self._extend(held, rows, tokens[rows, :width], counts[rows], layout)
            permitted = None if allowed is None else [allowed[int(row)] for row in rows]
            noise = RowNoise([held.noise[int(row)] for row in rows] if held.noise else (), layout[0])
            chosen[rows, :width] = choose(self._head, hidden, counts[rows], permitted, noise)
        return chosen

    def keep(self, batch: Batch, columns: Sequence[Ids]) -> None:
        """Of the last step's tokens keep these columns of each row."""
        cast(OnnxBatch, batch).cache.keep(columns)

    def _encode(self, document: Ids) -> Floats:
        # The graph for CPUs takes no mask: nothing is padded.
        inputs = (self._embedding.tokens.lookup(document[None]), np.ones((1, len(document)), np.bool_))
        return self._encoder.run(*inputs[: len(self._encoder.names)])[0][0]

    def _project(self, states: States, features: Floats | None) -> list[Floats]:
        """Per layer keys and values (H, S, D) of one document."""
        inputs: list[Array] = [states.hidden[None]]
        if self._num_features:
            given = np.zeros((len(states.hidden), self._num_features), np.float32) if features is None else features
            inputs += [given[None], np.array([features is not None])]
        return [array[0] for array in self._start.run(*inputs)]

    def _extend(self, batch: OnnxBatch, rows: Ids, tokens: Ids, counts: Ids, layout: tuple[Ids, Mask]) -> Floats:
        """Decoder states (len(rows), T, C) after each new token, whose keys and values join the cache."""
        documents, cache = batch.documents(rows), batch.cache
        fixed = (self._embedding.tokens.lookup(tokens), cache.lengths[rows], *layout, documents.mask)
        hidden, *new = self._step.run(*fixed, *documents.arrays, *cache.select(rows))
        cache.append(rows, new, counts)
        return hidden
