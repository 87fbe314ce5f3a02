"""What bench_gpu.py measures: the runtimes that run on a GPU, at each precision, with the graphs that they record.

Engines are built by a process of their own, which can be stopped when time is up.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from qdts.errors import Unsupported
from qdts.models.runtimes import load_runtime
from qdts.models.runtimes.base import Runtime
from qdts.models.runtimes.config import Precision, RuntimeConfig
from qdts.models.runtimes.step_graphs import StepGraphs

# In this order: where time runs out, what was wanted first has been measured.
_SYSTEMS: tuple[tuple[str, Precision], ...] = (
    ("cuda", "fp16"),
    ("tensorrt", "fp16"),
    ("cuda", "bf16"),
    ("cuda", "fp32"),
    ("cuda", "int8"),
    ("tensorrt", "bf16"),
    ("tensorrt", "fp32"),
)
NAMES = tuple(f"{kind}_{precision}" for kind, precision in _SYSTEMS)
# Of the time that is left, what building the engines of a precision may take.
BUILD_SHARE = 0.5

BUILD_PROGRAM = """
import json, sys
from pathlib import Path
from qdts.loadtest.bench_engines import build
print(json.dumps(build(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]))))
"""


@dataclass(frozen=True, slots=True)
class Subject:
    """A runtime, loaded; what it records, and what is to be said about it."""

    runtime: Runtime
    graphs: StepGraphs = field(default_factory=lambda: StepGraphs(None))
    about: Mapping[str, str] = field(default_factory=dict[str, str])


# Given the seconds that are left.
Open = Callable[[float], Subject]


def subjects(model: Path, library: str, max_batch: int) -> dict[str, Open]:
    """By name, none of them loaded yet."""
    found: dict[str, Open] = {}
    for kind, precision in _SYSTEMS:
        if kind == "cuda":
            found[f"{kind}_{precision}"] = partial(open_cuda, model, precision)
        else:
            found[f"{kind}_{precision}"] = partial(open_tensorrt, model, precision, library, max_batch)
    return found


def open_eager(model: Path) -> Subject:
    """The oracle, on the GPU."""
    return Subject(load_runtime("eager", model, RuntimeConfig(precision="fp32", device="cuda")))


def open_cuda(model: Path, precision: Precision, left_s: float) -> Subject:
    """torch with Triton kernels."""
    from qdts.models.runtimes.cuda.runtime import CudaRuntime

    runtime = CudaRuntime.load(model, RuntimeConfig(precision=precision, device="cuda"))
    return Subject(runtime, runtime.graphs)


def open_tensorrt(model: Path, precision: Precision, library_name: str, max_batch: int, left_s: float) -> Subject:
    """Engines built now; Unsupported where that fails or takes too long."""
    import torch

    from qdts.models.runtimes.tensorrt.engines import Target
    from qdts.models.runtimes.tensorrt.library import LIBRARIES, load_library
    from qdts.models.runtimes.tensorrt.runtime import Engines, TensorRtRuntime, device_capability

    library, device = load_library((library_name,) if library_name else LIBRARIES), torch.device("cuda")
    about = build_apart([str(model), precision, library_name, str(max_batch)], BUILD_SHARE * left_s)
    target = Target(
        library=library.name,
        version=library.version,
        compute_capability=device_capability(device),
        precision=precision,
    )
    engines = Engines.load(model, library, target, device)
    return Subject(TensorRtRuntime(engines, device), engines.step.graphs, about)


def build_apart(arguments: list[str], limit_s: float, program: str = BUILD_PROGRAM) -> dict[str, str]:
    """Build engines in a process that is stopped at the limit; what it says about them."""
    command = [sys.executable, "-c", program, *arguments]
    try:
        built = subprocess.run(command, capture_output=True, text=True, check=True, timeout=limit_s)
    except subprocess.TimeoutExpired as error:
        raise Unsupported(f"its engines were not built within {limit_s:.0f} s") from error
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["it does not say why"])[-1]
        raise Unsupported(f"its engines were not built: {last}") from error
    return json.loads(built.stdout.strip().splitlines()[-1])
