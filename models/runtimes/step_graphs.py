"""Work on a GPU that is recorded as a CUDA graph and replayed: one launch in place of many small ones.

A graph holds addresses and sizes, not tensors: replayed, it reads and writes what lies there now. So work is recorded
under a key that stands for all of its addresses and sizes, its buffers are refilled and never replaced, and it may be
done twice in a row without harm. CUDA graphs: https://docs.nvidia.com/cuda/cuda-c-programming-guide/#cuda-graphs
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import torch

Work = Callable[[], None]
# Records work without doing it; the answer does it.
Capture = Callable[[Work], Work]

LIMIT = 96


class StepGraphs:
    """The graphs that were used last, at most `limit`. Without a capture, or while not `enabled`, work is just done.

    Recorded is what is asked for a second time: then whatever happens once only, as compiling, lies behind it.
    """

    def __init__(self, capture: Capture | None, limit: int = LIMIT) -> None:
        self.enabled = capture is not None
        self.num_captured = 0
        self.num_replayed = 0
        self._capture = capture
        self._limit = limit
        self._seen: OrderedDict[Hashable, None] = OrderedDict()
        # The work is kept: it holds what its graph points to.
        self._graphs: OrderedDict[Hashable, tuple[Work, Work]] = OrderedDict()

    def run(self, key: Hashable, work: Work, isolate: Callable[[], Work] | None = None) -> None:
        """Do the work, by its graph if there is one.

        `isolate`, where given, makes the work that is recorded: for a library in which later calls would change it.
        """
        if self._capture is None or not self.enabled:
            work()
        elif key in self._graphs:
            self._graphs.move_to_end(key)
            self._graphs[key][1]()
            self.num_replayed += 1
        elif key in self._seen:
            self._record(key, isolate() if isolate is not None else work, self._capture)
        else:
            self._seen[key] = None
            _forget_oldest(self._seen, 4 * self._limit)
            work()

    def _record(self, key: Hashable, work: Work, capture: Capture) -> None:
        # Done first: what isolated work does at its first time must not be recorded, either.
        work()
        self._graphs[key] = (work, capture(work))
        self.num_captured += 1
        _forget_oldest(self._graphs, self._limit)


class CudaCapture:
    """Records what is launched on the current stream, which must not be the default one."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        # One pool for all graphs: they never run at the same time, and what one computes is copied out at its end.
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, work: Work) -> Work:
        """The graph's replay."""
        graph = torch.cuda.CUDAGraph()
        torch.cuda.current_stream(self._device).synchronize()
        # torch.cuda.graph would also empty the allocator's cache, each time. Other threads may use the GPU meanwhile.
        graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
        try:
            work()
        finally:
            graph.capture_end()
        return graph.replay


def _forget_oldest(entries: OrderedDict[Hashable, Any], limit: int) -> None:
    while len(entries) > limit:
        entries.popitem(last=False)
