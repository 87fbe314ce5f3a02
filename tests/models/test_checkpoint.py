"""Hugging Face directories in and out: single file, shards, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import T5Config as TheirConfig
from transformers import T5ForConditionalGeneration

from qdts.errors import WeightsCorrupt, WeightsMissing
from qdts.models import checkpoint
from qdts.models.nets.t5 import T5

MakeNet = Callable[..., T5]


def same(left: T5, right: T5) -> bool:
    ours, theirs = left.state_dict(), right.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("tied", [True, False])
def test_a_saved_network_is_loaded_back(make_net: MakeNet, tmp_path: Path, tied: bool) -> None:
    net = make_net(tied=tied)
    checkpoint.save(net, tmp_path)
    loaded = checkpoint.load(tmp_path)
    assert same(net, loaded)
    assert loaded.config == net.config
    assert not loaded.training


def test_what_transformers_saves_is_loaded(tmp_path: Path) -> None:
    config = TheirConfig(vocab_size=64, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
    T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    assert checkpoint.load(tmp_path).config.num_decoder_layers == 2


def test_shards_are_read_by_their_index(make_net: MakeNet, tmp_path: Path) -> None:
    net = make_net()
    checkpoint.save(net, tmp_path)
    shard(tmp_path, "b.safetensors")
    assert same(net, checkpoint.load(tmp_path))


def test_a_missing_shard_is_named(make_net: MakeNet, tmp_path: Path) -> None:
    checkpoint.save(make_net(), tmp_path)
    shard(tmp_path, "b.safetensors")
    (tmp_path / "b.safetensors").unlink()
    with pytest.raises(WeightsMissing, match="b.safetensors"):
        checkpoint.load(tmp_path)


@pytest.mark.parametrize("name", ["../b.safetensors", "b.bin"])
def test_an_index_that_leads_elsewhere_is_refused(make_net: MakeNet, tmp_path: Path, name: str) -> None:
    checkpoint.save(make_net(), tmp_path)
    (tmp_path / checkpoint.INDEX).write_text(json.dumps({"weight_map": {"shared.weight": name}}))
    with pytest.raises(WeightsCorrupt, match=name):
        checkpoint.load(tmp_path)


def shard(directory: Path, second: str) -> None:
    tensors = load_file(directory / checkpoint.WEIGHTS)
    (directory / checkpoint.WEIGHTS).unlink()
    names = sorted(tensors)
    where = {name: "a.safetensors" if index % 2 else second for index, name in enumerate(names)}
    for file in set(where.values()):
        save_file({name: tensors[name] for name in names if where[name] == file}, directory / file)
    (directory / checkpoint.INDEX).write_text(json.dumps({"weight_map": where}))


@pytest.mark.parametrize("fault", ["lacks", "unknown", "shape"])
def test_tensors_that_do_not_fit_are_named(make_net: MakeNet, tmp_path: Path, fault: str) -> None:
    checkpoint.save(make_net(), tmp_path)
    tensors = load_file(tmp_path / checkpoint.WEIGHTS)
    if fault == "lacks":
        del tensors["shared.weight"]
    elif fault == "unknown":
        tensors["other.weight"] = torch.ones(2)
    else:
        tensors["shared.weight"] = torch.ones(2, 3)
    save_file(tensors, tmp_path / checkpoint.WEIGHTS)
    message = {"lacks": "lacks shared.weight", "unknown": "unknown other.weight", "shape": "2x3, not 128x32"}
    with pytest.raises(WeightsCorrupt, match=message[fault]):
        checkpoint.load(tmp_path)


def test_an_empty_directory_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="config.json"):
        checkpoint.load(tmp_path)


def test_a_config_that_is_no_t5_is_refused(tmp_path: Path) -> None:
    (tmp_path / checkpoint.CONFIG).write_text('{"model_type": "llama", "vocab_size": 8}')
    with pytest.raises(WeightsCorrupt, match="d_model"):
        checkpoint.load(tmp_path)
