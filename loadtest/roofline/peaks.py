"""What this machine does at most, measured: matrix products of large squares, and reading.

8-bit products run as one node of the operator that the int8 graphs are made of, fp32 ones as one MatMul. Reading is
the maximum of an array, a slice per thread: once of a size that stays in the last cache, once of one that does not fit.
What else runs on the machine comes and goes, so peaks are sampled beside whatever is compared with them.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from qdts.loadtest.roofline.counting import Work
from qdts.models.runtimes.config import RuntimeConfig
from qdts.models.runtimes.graph import Graph

INT8_OPERATOR = "MatMulIntegerToFloat"
_OPSETS = (("", 20), ("com.microsoft", 1))
_helper, _numpy_helper = cast(Any, helper), cast(Any, numpy_helper)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peaks:
    """Per second: operations on 8-bit integers and on floats, bytes read from the last cache and from memory.

    `cache_bytes`: more than that counts as read from memory.
    """

    int8_ops: float
    fp32_ops: float
    cache_read: float
    memory_read: float
    cache_bytes: int

    def compute_ms(self, work: Work) -> float:
        """What the operations take; integers and floats after one another, since the same cores do both."""
        return 1000 * (work.int_ops / self.int8_ops + work.float_ops / self.fp32_ops)

    def read_ms(self, work: Work) -> float:
        """What the bytes take."""
        return 1000 * work.num_bytes / (self.cache_read if work.num_bytes <= self.cache_bytes else self.memory_read)

    def floor_ms(self, work: Work) -> float:
        """The longer of the two: nothing is faster."""
        return max(self.compute_ms(work), self.read_ms(work))


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakConfig:
    """Sizes are those of a run that counts; tests take less."""

    num_threads: int
    square: int = 2048
    cache_bytes: int = 12 << 20
    memory_bytes: int = 512 << 20


class Probes:
    """Products and arrays, ready to be timed. Close them, or leave the `with`."""

    def __init__(self, config: PeakConfig) -> None:
        self._config = config
        self._pool = ThreadPoolExecutor(config.num_threads)
        self._int8, self._fp32 = _product(config, INT8_OPERATOR), _product(config, "MatMul")
        self._cache, self._memory = self._read(config.cache_bytes), self._read(config.memory_bytes)
        self._cache_bytes = last_cache_bytes() or config.cache_bytes
        self.samples: list[Peaks] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def sample(self) -> Peaks:
        """What the machine does at this moment; what was in its caches is gone."""
        operations = 2 * self._config.square**3
        sample = Peaks(
            memory_read=self._config.memory_bytes / _fastest(self._memory),
            cache_read=self._config.cache_bytes / _fastest(self._cache),
            fp32_ops=operations / _fastest(self._fp32),
            int8_ops=operations / _fastest(self._int8),
            cache_bytes=self._cache_bytes,
        )
        self.samples.append(sample)
        return sample

    def _read(self, num_bytes: int) -> Callable[[], object]:
        slices: Sequence[Any] = np.array_split(np.ones(num_bytes // 8, np.int64), self._config.num_threads)
        return lambda: list(self._pool.map(np.max, slices))


def median_peaks(samples: Sequence[Peaks]) -> Peaks:
    """Of each by itself."""
    columns = zip(*(asdict(sample).items() for sample in samples), strict=True)
    return Peaks(**{items[0][0]: type(items[0][1])(np.median([value for _, value in items])) for items in columns})


def last_cache_bytes(directory: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> int:
    """Of the largest cache; 0 where the system does not tell."""
    sizes = [path.read_text(encoding="ascii").strip() for path in directory.glob("index*/size")]
    return max((int(size[:-1]) << {"K": 10, "M": 20}[size[-1]] for size in sizes), default=0)


def _fastest(run: Callable[[], object]) -> float:
    """Seconds, of two: the first may meet cold caches, and what else runs on the machine only adds."""
    found: list[float] = []
    for _ in range(2):
        started = time.perf_counter()
        run()
        found.append(time.perf_counter() - started)
    return min(found)


def _product(config: PeakConfig, operator: str) -> Callable[[], object]:
    rng = np.random.default_rng(0)
    size = (config.square, config.square)
    is_int8 = operator == INT8_OPERATOR
    # 7 bits, as weights are that every CPU sums exactly.
    weight = rng.integers(-63, 64, size).astype(np.int8) if is_int8 else rng.standard_normal(size, np.float32)
    x = rng.integers(0, 256, size).astype(np.uint8) if is_int8 else rng.standard_normal(size, np.float32)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "product.onnx"
        _write_product(path, operator, weight, TensorProto.UINT8 if is_int8 else TensorProto.FLOAT)
        graph = Graph(path, RuntimeConfig(precision="fp32", num_threads=config.num_threads))
    return lambda: graph.run(x)


def _write_product(path: Path, operator: str, weight: np.ndarray[Any, Any], x_type: int) -> None:
    """x times a constant, as the shipped graphs have it: scales of one and per column, a zero point."""
    constants = {"weight": weight}
    if operator == INT8_OPERATOR:
        constants["x_scale"] = np.asarray(1 / 127, np.float32)
        constants["scale"] = np.ones(weight.shape[1], np.float32)
        constants["zero"] = np.asarray(128, np.uint8)
    node = _helper.make_node(
        operator, ["x", *constants], ["y"], domain=_OPSETS[1][0] if operator == INT8_OPERATOR else ""
    )
    shape = ["M", weight.shape[0]]
    graph = _helper.make_graph(
        [node],
        "product",
        [_helper.make_tensor_value_info("x", x_type, shape)],
        [_helper.make_tensor_value_info("y", TensorProto.FLOAT, ["M", weight.shape[1]])],
        [_numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [_helper.make_opsetid(*opset) for opset in _OPSETS]
    cast(Any, onnx).save(_helper.make_model(graph, opset_imports=opsets, ir_version=10), str(path))
