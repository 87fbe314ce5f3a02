"""The runtime on Triton's interpreter, where there is no GPU, and a net whose heads its kernels take.

In place of CUDA graphs stands a capture that keeps the work it was given: replayed, it reads and writes the buffers of
then, so a runtime that replaced one of them would give the tokens of another step.
"""

import os
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch

from qdts.models.nets.config import T5Config
from qdts.models.nets.t5 import T5
from qdts.models.runtimes.base import Floats, Ids, Runtime
from qdts.models.runtimes.config import RuntimeConfig
from qdts.models.runtimes.eager import EagerRuntime

if not torch.cuda.is_available() and os.environ.get("TRITON_INTERPRET") != "1":
    assert "triton" not in sys.modules, "triton was imported before the interpreter could be chosen"
    os.environ["TRITON_INTERPRET"] = "1"
pytest.importorskip("triton", reason="kernels need Triton")

from qdts.models.runtimes.cuda.runtime import CudaRuntime  # noqa: E402
from qdts.models.runtimes.cuda.shapes import CudaShapes  # noqa: E402
from qdts.models.runtimes.step_graphs import Capture, CudaCapture  # noqa: E402

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
VOCAB_SIZE, NUM_FEATURES = 96, 3
SHAPES = CudaShapes(max_rows=4, max_document=48, max_step=16, max_slots=64, max_tokens=64)
# As in tests/models/conftest.py: louder layers make an untrained net say something.
GAINS = {"shared.weight": 0.3, ".o.weight": 4, ".wo.weight": 4, ".q.weight": 4, "bias.weight": 10}


def build_net(*, tied: bool = True, activation: str = "gated-gelu", d_kv: int = 16) -> T5:
    torch.manual_seed(3)
    sizes = {"vocab_size": VOCAB_SIZE, "d_model": 24, "d_kv": d_kv, "d_ff": 40, "num_heads": 2}
    layers = {"num_layers": 2, "num_decoder_layers": 2, "num_features": NUM_FEATURES}
    config = T5Config.from_dict({**sizes, **layers, "tie_word_embeddings": tied, "feed_forward_proj": activation})
    net = T5(config).eval()
    with torch.no_grad():
        for name, weight in net.named_parameters():
            weight.mul_(next((gain for suffix, gain in GAINS.items() if name.endswith(suffix)), 1.0))
    return net


@pytest.fixture(scope="session", autouse=True)
def _interpreted(request: pytest.FixtureRequest) -> None:
    if DEVICE.type == "cpu":
        request.getfixturevalue("quick_interpreter")


@pytest.fixture(scope="session")
def capture() -> Capture:
    return CudaCapture(DEVICE) if DEVICE.type == "cuda" else lambda work: work


@pytest.fixture
def make_cuda(capture: Capture) -> Callable[..., CudaRuntime]:
    def make(
        precision: str = "fp32", *, graphs: bool = True, shapes: CudaShapes = SHAPES, **net: object
    ) -> CudaRuntime:
        built = build_net(**net)  # pyright: ignore[reportArgumentType]
        return CudaRuntime(built, DEVICE, precision, shapes, capture if graphs else None)

    return make


@pytest.fixture
def make_eager() -> Callable[..., Runtime]:
    def make(**net: object) -> Runtime:
        config = RuntimeConfig(precision="fp32", device=str(DEVICE))
        return EagerRuntime(build_net(**net), config)  # pyright: ignore[reportArgumentType]

    return make


@pytest.fixture
def documents() -> list[Ids]:
    """More than are encoded at once, and of one token."""
    random = np.random.default_rng(1)
    return [random.integers(2, VOCAB_SIZE, length) for length in (40, 17, 1)]


@pytest.fixture
def features(documents: list[Ids]) -> list[Floats | None]:
    random = np.random.default_rng(2)
    return [random.random((40, NUM_FEATURES), np.float32), None, random.random((1, NUM_FEATURES), np.float32)]
