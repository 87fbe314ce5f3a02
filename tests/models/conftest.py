"""A seeded T5 of two layers and width 32: as a network, as a model directory, and with its ONNX graphs."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from qdts.models import checkpoint
from qdts.models.export.release import export
from qdts.models.nets.config import T5Config
from qdts.models.nets.t5 import T5

VOCAB_SIZE = 128
NUM_FEATURES = 4
GAINS = {"shared.weight": 0.3, ".o.weight": 4, ".wo.weight": 4, ".q.weight": 4, "bias.weight": 10}


def build_net(*, tied: bool = True, activation: str = "gated-gelu", num_features: int = NUM_FEATURES) -> T5:
    torch.manual_seed(7)
    config = T5Config.from_dict(
        {
            "vocab_size": VOCAB_SIZE,
            "d_model": 32,
            "d_kv": 8,
            "d_ff": 64,
            "num_layers": 2,
            "num_decoder_layers": 2,
            "num_heads": 4,
            "tie_word_embeddings": tied,
            "feed_forward_proj": activation,
            "num_features": num_features,
        }
    )
    net = T5(config).eval()
    with torch.no_grad():
        # Untrained and tied, a T5 repeats its input: quieter words and louder layers make it say something.
        for name, weight in net.named_parameters():
            weight.mul_(next((gain for suffix, gain in GAINS.items() if name.endswith(suffix)), 1.0))
    return net


@pytest.fixture(scope="session")
def make_net() -> Callable[..., T5]:
    return build_net


@pytest.fixture(scope="session", params=[True, False], ids=["tied", "untied"])
def model_dir(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """config.json, model.safetensors, onnx/fp32 and onnx/int8."""
    directory = tmp_path_factory.mktemp("tiny")
    checkpoint.save(build_net(tied=request.param), directory)
    export(directory, directory, ["fp32", "int8"])
    return directory
