"""Prints, as JSON lines, every kernel that the cuda runtime launches for a net, compiled for GPUs that are not here.

Run by test_ahead_of_time.py in a process that interprets nothing: launches are noted instead of made, so what is
computed is noise, but their sizes, types and constants are those of a GPU.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor

from qdts.kernels import decode_cross_attention
from qdts.kernels.ahead_of_time import SHARED_LIMITS, compile_launch
from qdts.kernels.plan import Launch
from qdts.models.nets.config import T5Config
from qdts.models.nets.t5 import T5
from qdts.models.runtimes.cuda.runtime import CudaRuntime
from qdts.models.runtimes.cuda.shapes import CudaShapes

# The shipped net's sizes and those of the 0.1B recipe; few layers: they are all alike.
SHAPES = {
    "22m": {"d_model": 384, "d_kv": 32, "d_ff": 1536, "num_heads": 12, "feed_forward_proj": "gelu"},
    "base": {"d_model": 768, "d_kv": 64, "d_ff": 2048, "num_heads": 12, "feed_forward_proj": "gated-gelu"},
}
# One row and full, one token and the widest; lists of ids short and long.
STEPS = ((1, 1), (1, 24), (8, 64), (1, 128), (8, 128))
NUM_IDS = (5, 300)


def note_launches(shape: str, precision: str) -> list[Launch]:
    """What is launched, each set of constants and types once."""
    found: dict[str, Launch] = {}

    def note(launch: Launch) -> None:
        found.setdefault(_signature(launch), launch)
        for argument in launch.arguments.values():
            if isinstance(argument, Tensor) and argument.dtype == torch.int64:
                argument.zero_()  # ids come out of some kernels: they must be such

    Launch.run = note  # pyright: ignore[reportAttributeAccessIssue]
    # An H100's: few rows then have their documents read in parts.
    decode_cross_attention._num_processors = lambda device: 132
    config = T5Config(vocab_size=16384, num_layers=1, num_decoder_layers=1, **SHAPES[shape])  # pyright: ignore
    runtime = CudaRuntime(T5(config), torch.device("cpu"), precision, CudaShapes(max_rows=8))
    exercise(runtime)
    return list(found.values())


def exercise(runtime: CudaRuntime) -> None:
    """Encode, start, and steps of several sizes with every kind of choice."""
    states = runtime.encode([np.arange(2, 500)] * 8)
    for num_rows, width in STEPS:
        tokens, counts = np.full((num_rows, width), 5), np.full(num_rows, width)
        for num_ids in NUM_IDS:
            batch = runtime.start(states[:num_rows], [None] * num_rows)
            permitted = np.arange(1, num_ids + 1)
            runtime.step(batch, tokens, counts, [[permitted] * width] * num_rows)
            del batch
        runtime.step(runtime.start(states[:num_rows], [None] * num_rows), tokens, counts)


def _signature(launch: Launch) -> str:
    arguments = {
        name: str(value.dtype) if isinstance(value, Tensor) else (type(value).__name__, value == 1, value % 16 == 0)
        for name, value in launch.arguments.items()
    }
    return str((launch.kernel.__name__, arguments, dict(launch.constants), launch.num_warps, launch.num_stages))


def compile_all(shape: str, precision: str, capabilities: list[int]) -> Iterator[dict[str, object]]:
    for launch in note_launches(shape, precision):
        for capability in capabilities:
            yield asdict(compile_launch(launch, capability)) | {"precision": precision, **launch.constants}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", choices=SHAPES, default="base")
    parser.add_argument("--precision", default="fp16")
    parser.add_argument("--capabilities", nargs="+", type=int, default=list(SHARED_LIMITS))
    args = parser.parse_args()
    for line in compile_all(args.shape, args.precision, args.capabilities):
        print(json.dumps(line), flush=True)
