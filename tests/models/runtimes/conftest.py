"""Every runtime on the tiny model, and documents of uneven length."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from qdts.models.runtimes import load_runtime
from qdts.models.runtimes.base import Floats, Ids, Runtime
from qdts.models.runtimes.config import RuntimeConfig

KINDS: dict[str, tuple[str, Literal["fp32", "int8"]]] = {
    "eager": ("eager", "fp32"),
    "onnx-fp32": ("onnx", "fp32"),
    "onnx-int8": ("onnx", "int8"),
}


@pytest.fixture(scope="session")
def load(model_dir: Path) -> Callable[[str], Runtime]:
    """The runtime of a kind; loaded once per model directory."""
    loaded: dict[str, Runtime] = {}

    def of(kind: str) -> Runtime:
        if kind not in loaded:
            name, precision = KINDS[kind]
            loaded[kind] = load_runtime(name, model_dir, RuntimeConfig(precision=precision, num_threads=1))
        return loaded[kind]

    return of


@pytest.fixture(params=list(KINDS))
def runtime(request: pytest.FixtureRequest, load: Callable[[str], Runtime]) -> Runtime:
    return load(request.param)


@pytest.fixture
def documents() -> list[Ids]:
    random = np.random.default_rng(1)
    return [random.integers(2, 128, length) for length in (150, 40, 1)]


@pytest.fixture
def features(documents: list[Ids]) -> list[Floats | None]:
    random = np.random.default_rng(2)
    return [random.random((150, 4), np.float32), None, random.random((1, 4), np.float32)]
