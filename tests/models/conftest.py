"""A seeded T5 of two layers and width 32: as a network, as a model directory, and with its ONNX graphs.

Beside it a tokenizer of 600 ids and a made-up lexicon, and a directory with all that a summarizer needs.
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

from qdts.models import checkpoint
from qdts.models.export.release import export
from qdts.models.interaction import NUM_FEATURES as NUM_INTERACTION_FEATURES
from qdts.models.lexicon import Lexicon
from qdts.models.manifest import Description, write
from qdts.models.nets.config import T5Config
from qdts.models.nets.t5 import T5
from qdts.models.prompt import PromptBuilder, PromptConfig
from qdts.models.tokenizer import Tokenizer
from qdts.models.training.tokenizer import train_tokenizer

# The machine may be busy: how long an example takes says nothing here.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
# Tokenizing uses threads of its own; the tests are too small for them.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

VOCAB_SIZE = 128
NUM_FEATURES = 4
GAINS = {"shared.weight": 0.3, ".o.weight": 4, ".wo.weight": 4, ".q.weight": 4, "bias.weight": 10}


def build_net(
    *,
    tied: bool = True,
    activation: str = "gated-gelu",
    num_features: int = NUM_FEATURES,
    vocab_size: int = VOCAB_SIZE,
) -> T5:
    torch.manual_seed(7)
    config = T5Config.from_dict(
        {
            "vocab_size": vocab_size,
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


PROSE = """
The engine was built in Derby in 1902. It weighed nine tonnes, pulled six coaches, and ran between Leeds and
York. Its driver was Mary Hill, who later trained the crew of the night mail. In winter, when snow lay on
the line, a second engine was sent ahead of the train; the crew called it the plough. The line closed in
1964, and the engine was moved to a museum near the old station, where visitors can climb into the cab.

A museum is a place that keeps and shows things of value. Most museums are open to the public, and many of
them charge nothing. The oldest public museum in the country opened in 1683. Its first keeper wrote a list
of everything it held: coins, maps, stuffed birds, and the mantle of a king. Visitors were asked not to
touch the birds.
"""


@pytest.fixture(scope="session")
def prose() -> str:
    return PROSE.strip()


@pytest.fixture(scope="session")
def tokenizer_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    train_tokenizer(iter([PROSE]), vocab_size=600, path=path)
    return path


@pytest.fixture(scope="session")
def tokenizer(tokenizer_path: Path) -> Tokenizer:
    return Tokenizer.load(tokenizer_path)


@pytest.fixture(scope="session")
def lexicon(tokenizer: Tokenizer) -> Lexicon:
    """Random, which is as good as any for what does not judge a summary."""
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(tokenizer.vocab_size, 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    idf = rng.random(tokenizer.vocab_size, np.float32)
    return Lexicon(idf, np.round(127 * vectors).astype(np.int8))


@pytest.fixture(scope="session")
def builder(tokenizer: Tokenizer, lexicon: Lexicon) -> PromptBuilder:
    return PromptBuilder(tokenizer, lexicon, PromptConfig())


@pytest.fixture(scope="session")
def summarizer_dir(tokenizer_path: Path, lexicon: Lexicon, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All a summarizer needs for the eager runtime: its weights are random."""
    directory = tmp_path_factory.mktemp("summarizer")
    vocab_size = Tokenizer.load(tokenizer_path).vocab_size
    checkpoint.save(build_net(vocab_size=vocab_size, num_features=NUM_INTERACTION_FEATURES), directory)
    (directory / "tokenizer.json").write_bytes(tokenizer_path.read_bytes())
    lexicon.save(directory / "lexicon.safetensors")
    write(directory, Description(name="tiny", version="1", licence="Apache-2.0"))
    return directory
