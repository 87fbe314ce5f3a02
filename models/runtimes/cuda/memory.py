"""What sequences in flight hold on the device: rows that are taken and given back, but never moved.

Graphs know these addresses, so whatever batch a sequence belongs to, its row does for all of its life. One row more
belongs to nobody: lanes of a step that only fill up read it. Of each row the last slot belongs to nobody: what padding
computes is written there.
Shapes: L layers · R rows · P slots of a row · S document tokens of a row · H heads · D head dim · N document tokens.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from qdts.errors import Unsupported
from qdts.kernels.reference import quantize_tokens
from qdts.models.nets.config import T5Config
from qdts.models.runtimes.base import Ids
from qdts.models.runtimes.cuda.layers import DocumentLayer
from qdts.models.runtimes.cuda.shapes import CudaShapes


class RowMemory:
    """`lengths` and `document_lengths` (R + 1,) are kept on the host, keys and values on the device."""

    def __init__(
        self, config: T5Config, shapes: CudaShapes, dtype: torch.dtype, device: torch.device, *, quantized: bool = False
    ) -> None:
        self.nobody = shapes.max_rows
        self.lengths: Ids = np.zeros(shapes.max_rows + 1, np.int64)
        self.document_lengths: Ids = np.ones(shapes.max_rows + 1, np.int64)  # a kernel reads one token at least
        self._shapes = shapes
        self._free = list(reversed(range(shapes.max_rows)))
        self._kept = self.lengths.copy()  # before the last `append`
        num_arrays, rows, heads = 2 * config.num_decoder_layers, shapes.max_rows + 1, (config.num_heads, config.d_kv)
        self._slots = torch.zeros(num_arrays, rows, shapes.max_slots, *heads, dtype=dtype, device=device)
        pool = (num_arrays, rows * shapes.max_document)
        self._documents = torch.zeros(*pool, *heads, dtype=torch.int8 if quantized else dtype, device=device)
        self._scales = torch.zeros(pool, dtype=torch.float32, device=device) if quantized else None

    @property
    def past(self) -> list[tuple[Tensor, Tensor]]:
        """Of each layer the decoder's keys and values, each (R + 1, P, H, D)."""
        return list(zip(self._slots[::2], self._slots[1::2], strict=True))

    @property
    def documents(self) -> list[DocumentLayer]:
        """Of each layer the documents' keys and values, all rows' end to end."""
        arrays = list(self._documents)
        scales = [None] * len(arrays) if self._scales is None else list(self._scales)
        return [
            DocumentLayer(*arrays[at : at + 2], *scales[at : at + 2], longest=self._shapes.max_document)
            for at in range(0, len(arrays), 2)
        ]

    @property
    def num_free(self) -> int:
        """Rows that can be taken."""
        return len(self._free)

    def take(self, count: int) -> Ids:
        """Rows for so many sequences, nothing decoded yet; Unsupported where fewer are free."""
        if count > len(self._free):
            raise Unsupported(
                f"{count} sequences more: the runtime holds {self.nobody} at a time, {len(self._free)} of them are free"
            )
        rows = np.array([self._free.pop() for _ in range(count)], np.int64)
        self.lengths[rows] = 0
        return rows

    def give(self, rows: Iterable[int]) -> None:
        """These sequences are over."""
        self._free += list(rows)

    def starts(self, rows: Ids) -> Ids:
        """Where the documents of these rows begin."""
        return rows * self._shapes.max_document

    def write_documents(self, rows: Ids, lengths: Sequence[int], projected: Tensor) -> None:
        """Keep the documents' keys and values (2 L, N, H, D), which lie end to end."""
        self.document_lengths[rows] = lengths
        spans = zip(self.starts(rows), lengths, strict=True)
        places = self._index(np.concatenate([start + np.arange(length) for start, length in spans]))
        if self._scales is not None:
            values, scales = quantize_tokens(projected.flatten(0, 1))
            projected = values.view(projected.shape)
            self._scales.index_copy_(1, places, scales.view(projected.shape[:2]))
        self._documents.index_copy_(1, places, projected)

    def places(self, lanes: Ids, counts: Ids, width: int) -> Ids:
        """The slot of each of T tokens of rows `lanes` (W,), of which counts (W,) are real -> (W, T)"""
        columns, num_slots = np.arange(width), self._shapes.max_slots
        slots = np.where(columns < counts[:, None], self.lengths[lanes][:, None] + columns, num_slots - 1)
        return lanes[:, None] * num_slots + slots

    def append(self, rows: Ids, counts: Ids) -> None:
        """Each of a batch's rows got counts (B,) tokens."""
        self._kept[rows] = self.lengths[rows]
        self.lengths[rows] += counts

    def keep(self, rows: Ids, columns: Sequence[Ids]) -> None:
        """Of the slots that the last `append` wrote keep these per row, ascending; the others are free again."""
        sources, targets = list[Ids](), list[Ids]()
        for row, chosen in zip(rows, columns, strict=True):
            start, num_kept = self._kept[row], len(chosen)
            assert not num_kept or chosen[-1] < self.lengths[row] - start, "keep cuts back, it cannot extend"
            # A path along the first columns, as of a chain, lies where it should.
            if num_kept and chosen[-1] >= num_kept:
                first = row * self._shapes.max_slots + start
                sources.append(first + chosen)
                targets.append(first + np.arange(num_kept))
            self.lengths[row] = start + num_kept
        if sources:
            flat = self._slots.flatten(1, 2)
            # Read as a whole before any is written.
            flat[:, self._index(np.concatenate(targets))] = flat[:, self._index(np.concatenate(sources))]

    def _index(self, values: Ids) -> Tensor:
        return torch.tensor(values, device=self._slots.device)
