"""What is computed on the device, each for one set of sizes: fixed inputs, fixed outputs, work that can be recorded.

Doing a program twice in a row leaves what doing it once leaves.
Shapes: N document tokens · B documents · W lanes, the sequences of a step · T tokens of a step · C hidden · K places to
choose at · I ids of the longest list · V vocabulary.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy.typing as npt
import torch
from torch import Tensor

from qdts.kernels.project_argmax import project_argmax
from qdts.kernels.project_permitted import project_permitted
from qdts.models.runtimes.cuda.buffers import Buffers
from qdts.models.runtimes.cuda.layers import StepLayout
from qdts.models.runtimes.cuda.memory import RowMemory
from qdts.models.runtimes.cuda.net import CudaNet
from qdts.models.tokenizer import END

Arrays = Mapping[str, npt.NDArray[Any]]
_INT, _LONG, _BOOL = torch.int32, torch.int64, torch.bool


class Program(Protocol):
    """Fill `buffers`, then do `compute`: the result is in `out`."""

    buffers: Buffers
    out: Tensor

    def compute(self) -> None: ...


class EncodeProgram:
    """`tokens` (N,) of documents from `starts` (B + 1,), all of it -> out (N, C) float32."""

    def __init__(self, net: CudaNet, out: Tensor, num_documents: int, longest: int) -> None:
        self.buffers = Buffers({"tokens": ((len(out),), _INT), "starts": ((num_documents + 1,), _INT)}, out.device)
        self.out = out
        self._net, self._longest = net, min(longest, len(out))

    def compute(self) -> None:
        """Encode."""
        given = self.buffers.tensors
        self.out.copy_(self._net.encode(given["tokens"], given["starts"], self._longest))


class StepProgram:
    """W lanes of T tokens -> out (W T, C), the decoder's states; keys and values join the memory."""

    def __init__(self, net: CudaNet, memory: RowMemory, out: Tensor, lanes: int, width: int) -> None:
        spec = {
            **dict.fromkeys(("rows", "lengths", "starts", "document_lengths"), ((lanes,), _INT)),
            **dict.fromkeys(("tokens", "positions"), ((lanes, width), _INT)),
            "places": ((lanes, width), _LONG),
            "visible": ((lanes, width, width), _BOOL),
        }
        self.buffers = Buffers(spec, out.device)
        self.out = out
        self._net, self._memory = net, memory

    def compute(self) -> None:
        """Read the tokens."""
        given = dict(self.buffers.tensors)
        tokens, places = given.pop("tokens").flatten(), given.pop("places").flatten()
        layout = StepLayout(**given, places=places)
        self.out.copy_(self._net.step(tokens, layout, self._memory.past, self._memory.documents))


class FreeChoice:
    """The highest score of all after each state of `places` (K,) -> out (K,) int64."""

    def __init__(self, net: CudaNet, states: Tensor, size: int) -> None:
        self.buffers = Buffers({"places": ((size,), _LONG)}, states.device)
        self.out = torch.zeros(size, dtype=_LONG, device=states.device)
        self._net, self._states = net, states

    def compute(self) -> None:
        """Choose."""
        hidden = self._states.index_select(0, self.buffers.tensors["places"])
        self.out.copy_(project_argmax(hidden, self._net.head, self._net.scale))


class PermittedChoice:
    """The choice among the first `counts` (K,) of `permitted` (K, I) after each state of `places` (K,) -> out (K,)."""

    def __init__(self, net: CudaNet, states: Tensor, size: int, num_ids: int) -> None:
        spec = {"places": ((size,), _LONG), "counts": ((size,), _INT), "permitted": ((size, num_ids), _INT)}
        self.buffers = Buffers(spec, states.device)
        self.out = torch.zeros(size, dtype=_LONG, device=states.device)
        self._net, self._states = net, states

    def compute(self) -> None:
        """Choose."""
        given, net = self.buffers.tensors, self._net
        hidden = self._states.index_select(0, given["places"])
        chosen = project_permitted(hidden, net.head, given["permitted"], given["counts"], end=END, scale=net.scale)
        self.out.copy_(chosen)
