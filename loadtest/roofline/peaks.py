"""What this machine does at most, measured: matrix products of large squares, and reading.

8-bit products run as one node of the operator that the int8 graphs are made of, fp32 ones as one MatMul. Reading is
the maximum of an array, a slice per thread: once of a size that stays in the last cache, once of one that does not fit.
What else runs on the machine comes and goes, so peaks are sampled beside whatever is compared with them.
"""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from qdts.loadtest.roofline.counting import Work
from qdts.models.runtimes.config import RuntimeConfig
from qdts.models.runtimes.graph import Array, Graph

INT8_OPERATOR = "MatMulIntegerToFloat"
_DOMAIN = "com.microsoft"
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
        self._int8, self._fp32 = _int8_product(config), _fp32_product(config)
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
    return Peaks(
        int8_ops=float(np.median([sample.int8_ops for sample in samples])),
        fp32_ops=float(np.median([sample.fp32_ops for sample in samples])),
        cache_read=float(np.median([sample.cache_read for sample in samples])),
        memory_read=float(np.median([sample.memory_read for sample in samples])),
        cache_bytes=samples[0].cache_bytes,
    )


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


def _int8_product(config: PeakConfig) -> Callable[[], object]:
    """As the shipped graphs have it: scales of one and per column, a zero point."""
    rng, size = np.random.default_rng(0), (config.square, config.square)
    constants = {
        # 7 bits, as weights are that every CPU sums exactly.
        "weight": rng.integers(-63, 64, size).astype(np.int8),
        "x_scale": np.asarray(1 / 127, np.float32),
        "scale": np.ones(config.square, np.float32),
        "zero": np.asarray(128, np.uint8),
    }
    x = rng.integers(0, 256, size).astype(np.uint8)
    return _one_node(config, _helper.make_node(INT8_OPERATOR, ["x", *constants], ["y"], domain=_DOMAIN), x, constants)


def _fp32_product(config: PeakConfig) -> Callable[[], object]:
    rng, size = np.random.default_rng(0), (config.square, config.square)
    x, weight = (rng.standard_normal(size, np.float32) for _ in range(2))
    return _one_node(config, _helper.make_node("MatMul", ["x", "weight"], ["y"]), x, {"weight": weight})


def _one_node(config: PeakConfig, node: Any, x: Array, constants: Mapping[str, Array]) -> Callable[[], object]:
    """x times a constant, in a graph of its own."""
    given = _helper.make_tensor_value_info("x", _helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
    made = _helper.make_tensor_value_info("y", TensorProto.FLOAT, x.shape)
    held = [_numpy_helper.from_array(value, name) for name, value in constants.items()]
    model = _helper.make_model(
        _helper.make_graph([node], "product", [given], [made], held),
        opset_imports=[_helper.make_opsetid("", 20), _helper.make_opsetid(_DOMAIN, 1)],
        ir_version=10,
    )
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "product.onnx"
        cast(Any, onnx).save(model, str(path))
        graph = Graph(path, RuntimeConfig(precision="fp32", num_threads=config.num_threads))
    return lambda: graph.run(x)
