"""The weights are the model's, whoever reads them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from qdts.loadtest.peers import nets
from qdts.loadtest.peers.base import PRODUCT_DIR, Family, Weights
from qdts.loadtest.peers.interaction import INTERACTION
from qdts.models import checkpoint


def test_features_are_left_out_and_nothing_else_changes(model: Path, work: Path) -> None:
    full, plain = checkpoint.load(model), checkpoint.load(work / Family.ENCODER_DECODER.value)
    assert (full.config.num_features > 0, plain.config.num_features) == (True, 0)
    ids, mask = torch.tensor([[5, 9, 70]]), torch.ones(1, 3)
    hidden = full.encode(ids, mask)
    assert torch.equal(plain.encode(ids, mask), hidden)
    tokens = torch.tensor([[0, 8, 72]])
    assert torch.equal(plain.decode(tokens, hidden, mask), full.decode(tokens, hidden, mask))


def test_the_features_weights_lie_apart(model: Path, work: Path) -> None:
    tensors = load_file(work / Family.ENCODER_DECODER.value / INTERACTION)
    own = checkpoint.load(model).interaction.state_dict()
    assert tensors.keys() == own.keys()
    assert all(torch.equal(tensor, own[name]) for name, tensor in tensors.items())


def test_the_product_is_the_model_as_it_is(model: Path, work: Path) -> None:
    for path in model.iterdir():
        assert (work / PRODUCT_DIR / path.name).read_bytes() == path.read_bytes()


def test_random_weights_are_those_of_their_seed(weights: Weights, work: Path, tmp_path: Path) -> None:
    nets.write(Family.DECODER_ONLY, tmp_path / "same", weights)
    nets.write(Family.DECODER_ONLY, tmp_path / "other", replace(weights, random_seed=1))
    first, same, other = (
        nets.read_seed(place / Family.DECODER_ONLY.value).shared.weight
        for place in (work, tmp_path / "same", tmp_path / "other")
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_what_is_there_is_kept(weights: Weights, work: Path) -> None:
    marker = work / Family.DECODER_ONLY.value / "kept"
    marker.touch()
    nets.write(Family.DECODER_ONLY, work, weights)
    assert marker.is_file()


def test_a_name_of_no_shape_is_an_error(weights: Weights, tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        nets.write(Family.ENCODER_DECODER, tmp_path, replace(weights, shape="3+3"))
    assert not (tmp_path / Family.ENCODER_DECODER.value).is_dir()


def test_a_random_net_is_its_own_product(weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(checkpoint.load_config(weights.model), num_features=0)
    monkeypatch.setitem(nets.FULL_SIZE, "tiny", config)
    nets.write(Family.ENCODER_DECODER, tmp_path, replace(weights, shape="tiny"))
    directory = tmp_path / Family.ENCODER_DECODER.value
    assert (tmp_path / PRODUCT_DIR).resolve() == directory.resolve()
    assert not (directory / INTERACTION).exists()
