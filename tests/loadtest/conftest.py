"""A seeded T5 of two layers as a model directory, and the same weights as every engine reads them."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from qdts.loadtest.peers import nets
from qdts.loadtest.peers.base import Family, Request, Scenario, Text, Weights
from qdts.loadtest.peers.requests import RequestConfig, Round, make_batches, make_rounds, open_builder
from qdts.models import checkpoint
from qdts.models.evaluation.rows import EvalRow
from qdts.models.interaction import NUM_FEATURES
from qdts.models.lexicon import Lexicon
from qdts.models.nets.config import T5Config
from qdts.models.nets.t5 import T5
from qdts.models.tokenizer import END, Tokenizer
from qdts.models.training.tokenizer import train_tokenizer

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

TEXTS = (
    "The engine was built in Derby in 1902. It weighed nine tonnes and ran between Leeds and York.",
    "A museum keeps and shows things of value. The oldest public museum opened in 1683.",
    "The line closed in 1964. Visitors can climb into the cab, but they must not touch the birds.",
)
# Untrained and tied, a T5 repeats its input: quieter words and louder layers make it say something.
GAINS = {"shared.weight": 0.3, ".o.weight": 4, ".wo.weight": 4, ".q.weight": 4, "bias.weight": 10}
SEED_SHAPE = {"d_model": 32, "d_ff": 64, "num_layers": 2, "num_heads": 4, "max_positions": 512}


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With interaction features, tokenizer and lexicon; without graphs."""
    directory = tmp_path_factory.mktemp("model")
    train_tokenizer(iter(TEXTS), vocab_size=400, path=directory / "tokenizer.json")
    vocab_size = Tokenizer.load(directory / "tokenizer.json").vocab_size
    rng = np.random.default_rng(3)
    vectors = rng.integers(-127, 128, (vocab_size, 16)).astype(np.int8)
    Lexicon(rng.random(vocab_size, np.float32), vectors).save(directory / "lexicon.safetensors")
    checkpoint.save(_loud_net(vocab_size), directory)
    return directory


def _loud_net(vocab_size: int) -> T5:
    torch.manual_seed(11)
    config = T5Config(
        vocab_size=vocab_size,
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_decoder_layers=2,
        num_heads=4,
        feed_forward_proj="gelu",
        num_features=NUM_FEATURES,
    )
    net = T5(config).eval()
    with torch.no_grad():
        for name, weight in net.named_parameters():
            weight.mul_(next((gain for suffix, gain in GAINS.items() if name.endswith(suffix)), 1.0))
        # So that END is written, too, and not only last.
        net.shared.weight[END].mul_(2)
    return net


@pytest.fixture(scope="session")
def weights(model: Path) -> Weights:
    return Weights(model=model, seed_shape=SEED_SHAPE)


@pytest.fixture(scope="session")
def work(weights: Weights, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both families' weights, written."""
    directory = tmp_path_factory.mktemp("work")
    for family in Family:
        nets.write(family, directory, weights)
    _make_louder(directory / Family.DECODER_ONLY.value)
    return directory


def _make_louder(directory: Path) -> None:
    """What GPT-2 starts from is too quiet at this size: its layers add nothing to its input."""
    net = nets.read_seed(directory)
    with torch.no_grad():
        for name, weight in net.named_parameters():
            if name.endswith((".q.weight", ".k.weight", ".o.weight", ".wo.weight")):
                weight.mul_(5)
    save_file(net.state_dict(), directory / nets.NET)


@pytest.fixture(scope="session")
def rows() -> list[EvalRow]:
    queries = ("When was the engine built?", "What does a museum keep?", "When did the line close?")
    return [
        EvalRow(id=str(index), set="made_up", query=query, title="", document=text, references=(text,))
        for index, (query, text) in enumerate(zip(queries, TEXTS, strict=True))
    ]


@pytest.fixture(scope="session")
def rounds(model: Path, rows: Sequence[EvalRow]) -> list[Round]:
    return list(make_rounds(open_builder(model), rows, RequestConfig(num_tokens=12, min_chars=1)))


@pytest.fixture(scope="session")
def asked(rounds: Sequence[Round]) -> list[Request]:
    return [request for one in rounds for request in one[Scenario.JOINT]]


@pytest.fixture(scope="session")
def batch(model: Path, rows: Sequence[EvalRow]) -> tuple[Request, ...]:
    """Documents of different lengths, prefixes of one."""
    config = RequestConfig(num_tokens=12, min_chars=120)
    [made] = make_batches(open_builder(model), [*rows, *rows, *rows], config, 1)
    return made[Scenario.BATCH8]


@pytest.fixture(scope="session")
def summaries(model: Path, rows: Sequence[EvalRow]) -> list[Request]:
    """Summaries, of documents that are new and of the same ones known."""
    config = RequestConfig(num_tokens=12, min_chars=120, text=Text.SUMMARY)
    made = make_rounds(open_builder(model), rows, config)
    return [request for one in made for requests in one.values() for request in requests]


@pytest.fixture(scope="session")
def summary_batch(model: Path, rows: Sequence[EvalRow]) -> tuple[Request, ...]:
    """As `batch`, to be summarised."""
    config = RequestConfig(num_tokens=12, min_chars=120, text=Text.SUMMARY)
    [made] = make_batches(open_builder(model), [*rows, *rows, *rows], config, 1)
    return made[Scenario.BATCH8]
