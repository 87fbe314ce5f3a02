"""A checkpoint on a GPU: torch with Triton kernels, its steps recorded as CUDA graphs.

Documents are encoded laid end to end, without padding between them. Steps are padded to few sizes, one graph each, over
rows of memory that stay where they are; a sequence that has nothing to read in a step is not computed. Choices are made
on the device; a sample is drawn on the host.
Shapes: B rows of a batch · W lanes, the rows that a step computes, filled up · T tokens of a step · N document tokens ·
C hidden.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import accumulate
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from qdts.errors import Unsupported
from qdts.models import checkpoint
from qdts.models.nets.t5 import T5
from qdts.models.runtimes.base import Allowed, Batch, Floats, Ids, Noise, RuntimeInfo, States
from qdts.models.runtimes.batching import lay_out
from qdts.models.runtimes.choice import RowNoise, choose
from qdts.models.runtimes.config import RuntimeConfig
from qdts.models.runtimes.cuda.requirements import check_gpu, check_triton
from qdts.models.runtimes.cuda.shapes import CudaShapes
from qdts.models.runtimes.step_graphs import Capture, CudaCapture, StepGraphs
from qdts.models.runtimes.tensorrt.buckets import length_bucket, rows_bucket

check_triton()  # before the imports below miss it

from qdts.kernels.arguments import check_head_dim  # noqa: E402
from qdts.models.runtimes.cuda.batch import CudaBatch  # noqa: E402
from qdts.models.runtimes.cuda.choosing import DeviceChooser, HostHead  # noqa: E402
from qdts.models.runtimes.cuda.memory import RowMemory  # noqa: E402
from qdts.models.runtimes.cuda.net import CudaNet  # noqa: E402
from qdts.models.runtimes.cuda.programs import Arrays, EncodeProgram, Program, StepProgram  # noqa: E402
from qdts.models.runtimes.cuda.states import DeviceStates, join_states  # noqa: E402

# int8: of the documents' keys and values alone.
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16, "int8": torch.float16}
# Encoded tokens are filled up to a multiple of this: one graph for each.
_TOKENS_CHUNK = 128


class CudaRuntime:
    """See `runtimes.base.Runtime`. More than the shapes allow: Unsupported. `graphs` can be switched off."""

    def __init__(
        self,
        net: T5,
        device: torch.device,
        precision: str,
        shapes: CudaShapes | None = None,
        capture: Capture | None = None,
    ) -> None:
        if precision not in _DTYPES:
            raise Unsupported(f"the cuda runtime computes in {', '.join(_DTYPES)}, not {precision}")
        check_head_dim(net.config.d_kv)
        self.graphs = StepGraphs(capture)
        self._device, self._precision = device, precision
        self._shapes = shapes = shapes or CudaShapes()
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._programs: dict[tuple[str, int, int], Program] = {}
        with torch.inference_mode(), self._on_stream():
            dtype, width = _DTYPES[precision], net.config.d_model
            self._net = CudaNet(net.eval().to(device), dtype)
            self._memory = RowMemory(net.config, shapes, dtype, device, quantized=precision == "int8")
            self._encoded = torch.zeros(shapes.max_tokens, width, device=device)
            self._states = torch.zeros(shapes.max_rows * shapes.max_step, width, dtype=dtype, device=device)
            self._chooser = DeviceChooser(self._net, self._states, self._run)

    @classmethod
    def load(cls, directory: Path, config: RuntimeConfig) -> Self:
        """From a Hugging Face directory, on the GPU."""
        # "cpu" is what is configured where nobody said anything; there is nothing for a CPU here.
        device = torch.device("cuda" if config.device == "cpu" else config.device)
        check_gpu(device)
        return cls(checkpoint.load(directory), device, config.precision, capture=CudaCapture(device))

    @property
    def num_features(self) -> int:
        """Interaction features per token."""
        return self._net.config.num_features

    @property
    def info(self) -> RuntimeInfo:
        """What this runtime is."""
        return RuntimeInfo(name="cuda", precision=self._precision, device=str(self._device), num_threads=1)

    @torch.inference_mode()
    def encode(self, documents: Sequence[Ids]) -> list[States]:
        """Ids (S_i,) per document -> states (S_i, C) per document."""
        self._check_documents([len(document) for document in documents])
        found = list[States]()
        with self._on_stream():
            for group in pack(documents, self._shapes.max_tokens):
                found += self._encode(group)
        return found

    @torch.inference_mode()
    def start(
        self, states: Sequence[States], features: Sequence[Floats | None], noise: Sequence[Noise | None] = ()
    ) -> CudaBatch:
        """Add the projected features, project the document's keys and values; nothing decoded yet."""
        batch = CudaBatch(self._memory)
        self.join(batch, states, features, noise)
        return batch

    @torch.inference_mode()
    def join(
        self,
        batch: Batch,
        states: Sequence[States],
        features: Sequence[Floats | None],
        noise: Sequence[Noise | None] = (),
    ) -> None:
        """Open further sequences behind those of the batch."""
        lengths = [len(each.hidden) for each in states]
        self._check_documents(lengths)
        with self._on_stream():
            hidden = join_states(states, self._device)  # (N, C)
            if self.num_features:
                hidden = self._net.interact(hidden, *self._join_features(features, lengths))
            projected = self._net.project_documents(hidden)
            # What may fail comes first: rows that were taken and forgotten would be lost.
            rows = self._memory.take(len(states))
            self._memory.write_documents(rows, lengths, projected)
        cast(CudaBatch, batch).join(rows, noise)

    def leave(self, batch: Batch, rows: Ids) -> Ids:
        """Close these sequences; which of the old rows each of the others was."""
        return cast(CudaBatch, batch).leave(rows)

    @torch.inference_mode()
    def step(
        self, batch: Batch, tokens: Ids, counts: Ids, allowed: Allowed | None = None, parents: Ids | None = None
    ) -> Ids:
        """Append counts[b] of tokens (B, T) to each sequence; the choice (B, T) after each."""
        chosen = np.zeros(tokens.shape, np.int64)
        held, active = cast(CudaBatch, batch), np.flatnonzero(counts)
        if len(active):
            width, permitted = int(counts.max()), None if allowed is None else [allowed[int(row)] for row in active]
            self._check_step(held.lengths + counts, width)
            tree = None if parents is None else parents[active, :width]
            noise = [held.noise[int(row)] if held.noise else None for row in active]
            with self._on_stream():
                positions = self._extend(held.rows[active], tokens[active, :width], counts[active], tree)
                self._memory.append(held.rows, counts)
                chosen[active, :width] = self._choose(counts[active], permitted, RowNoise(noise, positions))
        return chosen

    @torch.inference_mode()
    def keep(self, batch: Batch, columns: Sequence[Ids]) -> None:
        """Of the last step's tokens keep these columns of each row."""
        with self._on_stream():
            self._memory.keep(cast(CudaBatch, batch).rows, columns)

    def _encode(self, documents: Sequence[Ids]) -> list[States]:
        ends = list(accumulate(len(document) for document in documents))
        size = length_bucket(ends[-1], self._shapes.max_tokens, _TOKENS_CHUNK)
        # One more than there are: what fills up is read as a document, too.
        num_rows = 1 << len(documents).bit_length()
        tokens, starts = np.zeros(size, np.int64), np.full(num_rows + 1, size)
        longest = max(self._shapes.max_document, _TOKENS_CHUNK)
        tokens[: ends[-1]] = np.concatenate(documents)
        starts[: len(documents) + 1] = [0, *ends]
        out = self._run(
            ("encode", size, num_rows),
            lambda: EncodeProgram(self._net, self._encoded[:size], num_rows, longest),
            {"tokens": tokens, "starts": starts},
        )
        tensor = out[: ends[-1]].clone()  # the next group takes this place
        pieces = zip(np.split(tensor.cpu().numpy(), ends[:-1]), tensor.tensor_split(ends[:-1]), strict=True)
        return [DeviceStates(hidden=rows, tensor=piece) for rows, piece in pieces]

    def _join_features(self, features: Sequence[Floats | None], lengths: Sequence[int]) -> tuple[Tensor, Tensor]:
        """(N, F), 0 where there are none, and (N,), true where there are."""
        none = [np.zeros((length, self.num_features), np.float32) for length in lengths]
        given = [zeros if own is None else own for own, zeros in zip(features, none, strict=True)]
        present = np.repeat([own is not None for own in features], lengths)
        return self._put(np.concatenate(given)), self._put(present)

    def _extend(self, rows: Ids, tokens: Ids, counts: Ids, parents: Ids | None) -> Ids:
        """Read tokens (B, T) of these rows of the memory, leaving states of W lanes; the tokens' positions (B, T)."""
        memory, shape = self._memory, self._bucket(*tokens.shape)
        lanes = _grow(rows, shape[:1], fill=memory.nobody)
        tree = None if parents is None else _grow(parents, shape, fill=-1)
        positions, visible = lay_out(memory.lengths[lanes], shape[1], tree)
        inputs = {
            "rows": lanes,
            "lengths": memory.lengths[lanes],
            "starts": memory.starts(lanes),
            "document_lengths": memory.document_lengths[lanes],
            "tokens": _grow(tokens, shape),
            "positions": positions,
            "visible": visible,
            "places": memory.places(lanes, _grow(counts, shape[:1]), shape[1]),
        }
        out = self._states[: shape[0] * shape[1]]
        self._run(("step", *shape), lambda: StepProgram(self._net, memory, out, *shape), inputs)
        return positions[: len(rows), : tokens.shape[1]]

    def _choose(self, counts: Ids, allowed: Allowed | None, noise: RowNoise) -> Ids:
        """The choice (B, T) after each state that the last step left."""
        num_states = self._bucket(len(counts), int(counts.max()))[1]
        drawn = np.array([each is not None for each in noise.rows])
        chosen = np.zeros((len(counts), int(counts.max())), np.int64)
        if not drawn.all():
            greedy = self._chooser.choose(num_states, np.where(drawn, 0, counts), allowed)
            chosen[:, : greedy.shape[1]] = greedy
        if drawn.any():
            states = self._states[: len(counts) * num_states].view(len(counts), num_states, -1)
            hidden = states[:, : chosen.shape[1]].float().cpu().numpy()
            sampled = choose(HostHead(self._net), hidden, np.where(drawn, counts, 0), allowed, noise)
            chosen[drawn] = sampled[drawn]
        return chosen

    def _run(self, key: tuple[str, int, int], make: Callable[[], Program], inputs: Arrays) -> Tensor:
        if key not in self._programs:
            self._programs[key] = make()
        program = self._programs[key]
        program.buffers.fill(inputs)
        self.graphs.run(key, program.compute)
        return program.out

    def _bucket(self, num_rows: int, width: int) -> tuple[int, int]:
        """W and T of the program that computes a step."""
        return rows_bucket(num_rows, self._shapes.max_rows), rows_bucket(width, self._shapes.max_step)

    def _put(self, array: npt.NDArray[Any]) -> Tensor:
        return torch.tensor(array, device=self._device)

    def _on_stream(self) -> AbstractContextManager[Any]:
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)

    def _check_documents(self, lengths: Sequence[int]) -> None:
        if (longest := max(lengths)) > self._shapes.max_document:
            raise Unsupported(f"a document of {longest} tokens: the runtime takes {self._shapes.max_document} at most")

    def _check_step(self, lengths: Ids, width: int) -> None:
        shapes = self._shapes
        if width > shapes.max_step:
            raise Unsupported(f"a step of {width} tokens: the runtime takes {shapes.max_step} at most")
        if (longest := int(lengths.max())) >= shapes.max_slots:
            raise Unsupported(f"{longest} tokens in a row: the runtime takes {shapes.max_slots - 1} at most")


def pack(documents: Sequence[Ids], max_tokens: int) -> Iterator[list[Ids]]:
    """Documents in their order, in groups of at most so many tokens in all."""
    group, total = list[Ids](), 0
    for document in documents:
        if group and total + len(document) > max_tokens:
            yield group
            group, total = [], 0
        group.append(document)
        total += len(document)
    if group:
        yield group


def _grow(array: Ids, shape: tuple[int, ...], fill: int = 0) -> Ids:
    """Each dimension to that of `shape`."""
    grown = [(0, more - size) for size, more in zip(array.shape, shape, strict=True)]
    return np.pad(array, grown, constant_values=fill)
