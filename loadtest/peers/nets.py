"""The weights that every system runs, written once in the formats their loaders read.

encoder_decoder/   a Hugging Face T5 in float32, its interaction features, if it has any, in a file of their own
decoder_only/      the seed's shape with random weights; gpt2/ holds the same for Hugging Face loaders
product/           what this project's runtimes run: the model as it is released, or the random net
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from qdts.loadtest.ablation.shapes import FULL_SIZE
from qdts.loadtest.peers.base import PRODUCT_DIR, Family, Weights
from qdts.loadtest.peers.interaction import INTERACTION
from qdts.loadtest.peers.requests import LEXICON, TOKENIZER
from qdts.models import checkpoint
from qdts.models.nets.config import T5Config
from qdts.models.nets.decoder_only import DecoderOnly, DecoderOnlyConfig, to_gpt2
from qdts.models.nets.t5 import T5
from qdts.models.settings import copy_settings

NET, _NET_CONFIG, GPT2 = "net.safetensors", "net.json", "gpt2"
_TOKENIZER_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "pad_token": "<pad>",
    "eos_token": "</s>",
    "bos_token": "</s>",
    "unk_token": "<unk>",
}


def write(family: Family, work: Path, weights: Weights) -> None:
    """The weights of a family under `work`; what is there is kept."""
    directory = work / family.value
    if directory.is_dir():
        return
    # Under another name until it is whole: what was cut short is not taken for it later.
    started = directory.with_suffix(".part")
    shutil.rmtree(started, ignore_errors=True)
    started.mkdir(parents=True)
    if family is Family.ENCODER_DECODER:
        _write_encoder_decoder(started, weights)
        _write_product(work / PRODUCT_DIR, directory, weights)
    else:
        _write_decoder_only(started, weights)
    started.rename(directory)


def read_seed(directory: Path) -> DecoderOnly:
    """The decoder-only net."""
    fields = json.loads((directory / _NET_CONFIG).read_text(encoding="utf-8"))
    net = DecoderOnly(DecoderOnlyConfig(**fields))
    net.load_state_dict(load_file(directory / NET))
    return net.eval()


def write_gpt2(directory: Path) -> Path:
    """The decoder-only net as transformers' GPT2LMHeadModel; where it lies."""
    target = directory / GPT2
    if target.is_dir():
        return target
    net = read_seed(directory)
    target.mkdir()
    tensors = to_gpt2(net.state_dict(), net.config.num_layers)
    del tensors["lm_head.weight"]  # tied
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(contiguous, target / "model.safetensors", {"format": "pt"})
    _write_json(target / "config.json", _gpt2_config(net.config))
    _write_tokenizer(directory, target)
    return target


def _write_encoder_decoder(directory: Path, weights: Weights) -> None:
    if not weights.shape:
        net = _apart(checkpoint.load(weights.model), directory)
    else:
        torch.manual_seed(weights.random_seed)
        config = FULL_SIZE[weights.shape]
        assert isinstance(config, T5Config)
        net = T5(config)
    checkpoint.save(net, directory)
    _write_tokenizer(weights.model, directory)
    shutil.copyfile(weights.model / LEXICON, directory / LEXICON)
    copy_settings(weights.model, directory)


def _write_product(target: Path, directory: Path, weights: Weights) -> None:
    if not weights.shape:
        shutil.copytree(weights.model, target, dirs_exist_ok=True)
    else:
        target.unlink(missing_ok=True)
        target.symlink_to(directory.name)


def _apart(net: T5, directory: Path) -> T5:
    """The network without its interaction features; their weights become a file in the directory."""
    if net.config.num_features:
        tensors = {name: tensor.contiguous() for name, tensor in net.interaction.state_dict().items()}
        save_file(tensors, directory / INTERACTION)
    return without_features(net)


def without_features(net: T5) -> T5:
    """The same network without its interaction features, which other engines do not know."""
    plain = T5(replace(net.config, num_features=0))
    plain.load_state_dict({n: tensor for n, tensor in net.state_dict().items() if not n.startswith("interaction.")})
    return plain.eval()


def _write_decoder_only(directory: Path, weights: Weights) -> None:
    vocab_size = checkpoint.load_config(weights.model).vocab_size
    config = DecoderOnlyConfig(vocab_size=vocab_size, **weights.seed_shape)
    torch.manual_seed(weights.random_seed)
    save_file(DecoderOnly(config).state_dict(), directory / NET)
    _write_json(directory / _NET_CONFIG, asdict(config))
    for name in (TOKENIZER, LEXICON):
        shutil.copyfile(weights.model / name, directory / name)


def _gpt2_config(config: DecoderOnlyConfig) -> dict[str, Any]:
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": config.vocab_size,
        "n_positions": config.max_positions,
        "n_embd": config.d_model,
        "n_inner": config.d_ff,
        "n_layer": config.num_layers,
        "n_head": config.num_heads,
        "layer_norm_epsilon": config.layer_norm_epsilon,
        "activation_function": "gelu_new",
        "bos_token_id": 1,
        "eos_token_id": 1,
    }


def _write_tokenizer(source: Path, target: Path) -> None:
    shutil.copyfile(source / TOKENIZER, target / TOKENIZER)
    _write_json(target / "tokenizer_config.json", _TOKENIZER_CONFIG)


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
