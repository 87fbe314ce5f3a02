"""llama.cpp computes the same network, where it has it at all."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from qdts.loadtest.peers.base import PRODUCT_DIR, CannotBuild, Engine, Family, Request
from qdts.loadtest.peers.llama import EncoderDecoder
from qdts.loadtest.peers.ours import Ours
from qdts.models import checkpoint
from qdts.models.nets.config import T5Config
from qdts.models.nets.t5 import T5


@pytest.fixture
def gated(tmp_path: Path) -> Path:
    """A seeded net of llama.cpp's kind; blocks of weights are as long as 8-bit ones must be."""
    torch.manual_seed(1)
    config = T5Config(vocab_size=400, d_model=64, d_kv=16, d_ff=128, num_layers=3, num_decoder_layers=2, num_heads=4)
    net = T5(config).eval()
    with torch.no_grad():
        for name, weight in net.named_parameters():
            weight.mul_(4 if name.endswith((".o.weight", ".wo.weight", ".q.weight")) else 1)
        net.shared.weight.mul_(0.3)
    directory = tmp_path / Family.ENCODER_DECODER.value
    checkpoint.save(net, directory)
    (tmp_path / PRODUCT_DIR).symlink_to(directory.name)
    return directory


@pytest.fixture
def made_up() -> list[Request]:
    """Ids without text."""
    rng = np.random.default_rng(0)
    prompts = [SimpleNamespace(encoder_ids=rng.integers(3, 400, 37), prefix=np.array([0, 5, 9, n])) for n in (77, 78)]
    return [Request(prompt=cast(Any, prompt), num_tokens=12) for prompt in prompts]


def write_all(engine: Engine, requests: Sequence[Request]) -> list[list[int]]:
    return [one.tokens for request in requests for one in engine.write(engine.read([request]), [request])]


def test_f32_writes_what_torch_writes(gated: Path, made_up: list[Request]) -> None:
    pytest.importorskip("llama_cpp")
    pytest.importorskip("gguf")
    EncoderDecoder.build(gated, "f32")
    expected = write_all(Ours(gated, "fp32_eager", 1), made_up)
    assert write_all(EncoderDecoder(gated, "f32", 1), made_up) == expected
    assert len({tuple(tokens) for tokens in expected}) > 1


def test_8_bit_blocks_are_smaller_and_write_as_much(gated: Path, made_up: list[Request]) -> None:
    pytest.importorskip("llama_cpp")
    pytest.importorskip("gguf")
    for variant in ("f32", "q8_0"):
        EncoderDecoder.build(gated, variant)
    sizes = [(gated / f"llama_{variant}.gguf").stat().st_size for variant in ("f32", "q8_0")]
    assert sizes[1] < 0.35 * sizes[0]
    assert {len(tokens) for tokens in write_all(EncoderDecoder(gated, "q8_0", 1), made_up)} == {12}


def test_another_activation_is_refused_with_the_reason(work: Path) -> None:
    with pytest.raises(CannotBuild, match="no gate, its activation is relu; theirs is gelu"):
        EncoderDecoder.build(work / Family.ENCODER_DECODER.value, "q8_0")
