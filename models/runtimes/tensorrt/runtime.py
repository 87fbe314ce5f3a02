"""Three plans and a table on a GPU: encoder, start, step, and the vocabulary's embedding.

Batches are padded to buckets. Padding never changes a result but for the order of sums: what a row does not have is
masked, rows do not see one another. The choice is made on the host, by the rule that all runtimes share.
Shapes: B rows · W lanes, the rows that a step computes · S document tokens · T tokens of a step · H heads · D head dim
· C hidden.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from qdts.errors import Unsupported
from qdts.models.runtimes.base import Allowed, Batch, Floats, Ids, Noise, RuntimeInfo, States
from qdts.models.runtimes.batching import lay_out, length_mask, pad_floats, pad_ids
from qdts.models.runtimes.choice import RowNoise, choose
from qdts.models.runtimes.config import RuntimeConfig
from qdts.models.runtimes.embedding import Embedding
from qdts.models.runtimes.tensorrt.batch import Documents, TensorRtBatch
from qdts.models.runtimes.tensorrt.buckets import group_by_length, length_bucket, rows_bucket
from qdts.models.runtimes.tensorrt.engines import Target, load_plans
from qdts.models.runtimes.tensorrt.execution import Execution
from qdts.models.runtimes.tensorrt.library import Library, load_library
from qdts.models.runtimes.tensorrt.slots import SLOT_CHUNK, DeviceSlots

# Encoded at once, padding included: enough to keep a large GPU busy, little enough for a small one's memory.
MAX_TOKENS = 16384


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """The three engines of a model and its table, all on one device."""

    encoder: Execution
    start: Execution
    step: Execution
    embedding: Embedding

    @classmethod
    def load(cls, model: Path, library: Library, target: Target, device: torch.device) -> Self:
        """Check the plans of a model directory, then open them."""
        directory, plans = load_plans(model, target)
        return cls(
            encoder=Execution(library, plans["encoder"], device),
            start=Execution(library, plans["start"], device),
            step=Execution(library, plans["step"], device, reuses_outputs=True),
            embedding=Embedding.load(directory),
        )


class TensorRtRuntime:
    """See `runtimes.base.Runtime`. More rows, longer documents or wider steps than the engines take: Unsupported."""

    def __init__(self, engines: Engines, device: torch.device, max_tokens: int = MAX_TOKENS) -> None:
        self._engines = engines
        self._device = device
        self._max_tokens = max_tokens
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._table = _wide_table(engines.embedding).to(device)  # (V, C)
        step = engines.step.info
        self._max_rows, self._max_width = step.most("embedded", 0), step.most("embedded", 1)
        self._max_document = step.most("mask", 1)
        names = [tensor.name for tensor in step.inputs]
        self._document_names = [name for name in names if name.startswith("document.")]
        self._past_names = [name for name in names if name.startswith("past.")]
        self._max_slots = step.most(self._past_names[0], 2)

    @classmethod
    def load(cls, directory: Path, config: RuntimeConfig) -> Self:
        """The engines of a model directory for this machine's GPU, at the precision asked for."""
        # "cpu" is what is configured where nobody said anything; engines run on no CPU.
        library, device = load_library(), torch.device("cuda" if config.device == "cpu" else config.device)
        target = Target(
            library=library.name,
            version=library.version,
            compute_capability=device_capability(device),
            precision=config.precision,
        )
        with torch.cuda.device(device):
            return cls(Engines.load(directory, library, target, device), device)

    @property
    def num_features(self) -> int:
        """Interaction features per token."""
        features = [tensor.shape[2] for tensor in self._engines.start.info.inputs if tensor.name == "features"]
        return features[0] if features else 0

    @property
    def info(self) -> RuntimeInfo:
        """What this runtime is."""
        precision = self._engines.step.info.precision
        return RuntimeInfo(name="tensorrt", precision=precision, device=str(self._device), num_threads=1)

    @torch.inference_mode()
    def encode(self, documents: Sequence[Ids]) -> list[States]:
        """Ids (S_i,) per document -> states (S_i, C) per document."""
        lengths = [len(document) for document in documents]
        self._check_document(max(lengths))
        found: dict[int, States] = {}
        with self._on_stream():
            for group in group_by_length(lengths, max_rows=self._max_rows, max_tokens=self._max_tokens):
                hidden = self._encode([documents[index] for index in group])
                found |= {
                    index: States(hidden=row[: lengths[index]]) for index, row in zip(group, hidden, strict=False)
                }
        return [found[index] for index in range(len(documents))]

    @torch.inference_mode()
    def start(
        self, states: Sequence[States], features: Sequence[Floats | None], noise: Sequence[Noise | None] = ()
    ) -> TensorRtBatch:
        """Add the projected features, project the document's keys and values; nothing decoded yet."""
        self._check_rows(len(states))
        with self._on_stream():
            documents = self._project(states, features)
            return TensorRtBatch(documents, self._open_cache(len(documents.mask)), len(states), noise)

    @torch.inference_mode()
    def join(
        self,
        batch: Batch,
        states: Sequence[States],
        features: Sequence[Floats | None],
        noise: Sequence[Noise | None] = (),
    ) -> None:
        """Open further sequences behind those of the batch."""
        held = cast(TensorRtBatch, batch)
        num_rows = held.num_rows + len(states)
        self._check_rows(num_rows)
        with self._on_stream():
            documents = self._project(states, features)
            held.join(documents, len(states), noise, rows_bucket(num_rows, self._max_rows))

    @torch.inference_mode()
    def leave(self, batch: Batch, rows: Ids) -> Ids:
        """Close these sequences; which of the old rows each of the others was."""
        with self._on_stream():
            return cast(TensorRtBatch, batch).leave(rows)

    @torch.inference_mode()
    def step(
        self, batch: Batch, tokens: Ids, counts: Ids, allowed: Allowed | None = None, parents: Ids | None = None
    ) -> Ids:
        """Append counts[b] of tokens (B, T) to each sequence; the choice (B, T) after each."""
        chosen = np.zeros(tokens.shape, np.int64)
        held, rows = cast(TensorRtBatch, batch), np.flatnonzero(counts)
        if len(rows):
            width = int(counts.max())
            self._check_step(held.lengths[rows] + counts[rows], width)
            tree = None if parents is None else parents[:, :width]
            with self._on_stream():
                hidden, positions = self._extend(held, rows, tokens[:, :width], counts, tree)
            permitted = None if allowed is None else [allowed[int(row)] for row in rows]
            noise = RowNoise([held.noise[int(row)] for row in rows] if held.noise else (), positions)
            chosen[rows, :width] = choose(self._engines.embedding.head, hidden, counts[rows], permitted, noise)
        return chosen

    @torch.inference_mode()
    def keep(self, batch: Batch, columns: Sequence[Ids]) -> None:
        """Of the last step's tokens keep these columns of each row."""
        with self._on_stream():
            cast(TensorRtBatch, batch).cache.keep(columns)

    def _encode(self, documents: Sequence[Ids]) -> Floats:
        """(B, S, C) of documents in one group, padding included."""
        ids, mask = pad_ids(documents)
        shape = (rows_bucket(len(ids), self._max_rows), length_bucket(ids.shape[1], self._max_document))
        inputs = {"embedded": self._embed(_pad(ids, shape)), "mask": self._put(_pad(mask, shape))}
        return self._engines.encoder.run(inputs)["hidden"].cpu().numpy()

    def _project(self, states: Sequence[States], features: Sequence[Floats | None]) -> Documents:
        """What the decoder reads of these documents, rows and tokens padded to buckets."""
        lengths = [len(each.hidden) for each in states]
        self._check_document(max(lengths))
        shape = (rows_bucket(len(states), self._max_rows), length_bucket(max(lengths), self._max_document))
        mask = self._put(_pad(length_mask(lengths), shape))
        projected = self._engines.start.run(self._start_inputs(states, features, shape))
        return Documents(mask, [projected[name] for name in self._document_names])

    def _start_inputs(
        self, states: Sequence[States], features: Sequence[Floats | None], shape: tuple[int, int]
    ) -> dict[str, Tensor]:
        hidden = pad_floats([each.hidden for each in states], axis=0)
        inputs = {"hidden": self._put(_pad(hidden, (*shape, hidden.shape[2])))}
        if self.num_features:
            missing = [np.zeros((len(each.hidden), self.num_features), np.float32) for each in states]
            given = [own if own is not None else none for own, none in zip(features, missing, strict=True)]
            inputs["features"] = self._put(_pad(pad_floats(given, axis=0), (*shape, self.num_features)))
            inputs["present"] = self._put(_pad(np.array([own is not None for own in features]), shape[:1]))
        return inputs

    def _open_cache(self, num_rows: int) -> DeviceSlots:
        _, num_heads, _, head_dim = self._engines.step.info.input(self._past_names[0]).shape
        shape = (num_rows, num_heads, min(SLOT_CHUNK, self._max_slots), head_dim)
        dtype = self._engines.step.dtype(self._past_names[0])
        arrays = [torch.zeros(shape, dtype=dtype, device=self._device) for _ in self._past_names]
        return DeviceSlots(arrays, self._max_slots)

    def _extend(
        self, held: TensorRtBatch, rows: Ids, tokens: Ids, counts: Ids, parents: Ids | None
    ) -> tuple[Floats, Ids]:
        """Decoder states (len(rows), T, C) after the new tokens and their positions; keys and values join the cache."""
        lanes, width = held.lanes(rows), tokens.shape[1]
        shape = (len(lanes.rows), rows_bucket(width, self._max_width))
        lane_counts = lanes.counts(counts[rows])
        held.cache.reserve(int((held.cache.lengths[lanes.rows] + lane_counts).max()))
        lengths = held.cache.lengths[lanes.rows]
        source = np.minimum(lanes.rows, held.num_rows - 1)  # rows that only fill up read any tokens
        tree = None if parents is None else _pad(parents[source], shape, fill=-1)
        positions, visible = lay_out(lengths, shape[1], tree)
        embedded = self._embed(_pad(tokens[source], shape))
        layout = {"lengths": lengths, "positions": positions, "visible": visible}
        inputs = {"embedded": embedded, **{name: self._put(array) for name, array in layout.items()}}
        outputs = self._engines.step.run(inputs, self._held_inputs(held, lanes.rows))
        held.cache.append(lanes.rows, [outputs[_new(name)] for name in self._past_names], lane_counts)
        hidden = outputs["state"].cpu().numpy()
        return hidden[lanes.places, :width], positions[lanes.places, :width]

    def _held_inputs(self, held: TensorRtBatch, lanes: Ids) -> dict[str, Tensor]:
        """What the decoder reads and the batch holds: mask, the document's arrays, the cache's."""
        documents = held.documents(lanes)
        arrays = zip(self._document_names, documents.arrays, strict=True)
        past = zip(self._past_names, held.past(lanes), strict=True)
        return {"mask": documents.mask, **dict(arrays), **dict(past)}

    def _embed(self, ids: Ids) -> Tensor:
        """(...) -> (..., C)"""
        return self._table[self._put(ids)]

    def _put(self, array: npt.NDArray[Any]) -> Tensor:
        # A copy in any case: the array may be read-only.
        return torch.tensor(array, device=self._device)

    def _on_stream(self) -> AbstractContextManager[Any]:
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)

    def _check_rows(self, num_rows: int) -> None:
        if num_rows > self._max_rows:
            raise Unsupported(f"{num_rows} sequences at once: the engines were built for {self._max_rows} at most")

    def _check_document(self, length: int) -> None:
        if length > self._max_document:
            raise Unsupported(f"a document of {length} tokens: the engines were built for {self._max_document} at most")

    def _check_step(self, lengths: Ids, width: int) -> None:
        if width > self._max_width:
            raise Unsupported(f"a step of {width} tokens: the engines were built for {self._max_width} at most")
        if (longest := int(lengths.max())) >= self._max_slots:
            raise Unsupported(f"{longest} tokens in a row: the engines were built for {self._max_slots - 1} at most")


def device_capability(device: torch.device) -> str:
    """The compute capability of a GPU, such as "8.9"; Unsupported where there is none."""
    if device.type != "cuda" or not torch.cuda.is_available():
        raise Unsupported("the tensorrt runtime needs a GPU and a torch that sees it: take the runtime onnx on a CPU")
    major, minor = torch.cuda.get_device_capability(device)
    return f"{major}.{minor}"


def _wide_table(embedding: Embedding) -> Tensor:
    return torch.from_numpy(embedding.tokens.rows.astype(np.float32) * embedding.tokens.scale[:, None])


def _new(past: str) -> str:
    """past.0.key -> new.0.key"""
    return past.replace("past.", "new.", 1)


def _pad(array: npt.NDArray[Any], shape: Iterable[int], fill: float = 0) -> npt.NDArray[Any]:
    """Grow each dimension to that of `shape`."""
    grown = [(0, more - size) for size, more in zip(array.shape, shape, strict=True)]
    return np.pad(array, grown, constant_values=fill)
