"""A T5 network from and to a Hugging Face directory: config.json and model.safetensors, whole or sharded.

Knows nothing of manifests: verify the directory first (models/manifest.py). Never reads a pickle.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor

from qdts.errors import WeightsCorrupt, WeightsMissing
from qdts.models.nets.config import T5Config
from qdts.models.nets.t5 import T5

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
# Copies of shared.weight, and a bias of old checkpoints that no code ever read.
_REDUNDANT = (
    "encoder.embed_tokens.weight",
    "decoder.embed_tokens.weight",
    "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight",
)


def load_config(directory: Path) -> T5Config:
    """The architecture a directory holds."""
    path = directory / CONFIG
    if not path.is_file():
        raise WeightsMissing(f"{path} is not there: a model directory needs {CONFIG} beside {WEIGHTS}.")
    try:
        return T5Config.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise WeightsCorrupt(f"{path} describes no T5 network: {error}") from error


def load(directory: Path) -> T5:
    """The network with its weights, float32, ready for inference."""
    config = load_config(directory)
    net = T5(config)
    tensors = _read_tensors(directory)
    redundant = _REDUNDANT + (("lm_head.weight",) if config.tie_word_embeddings else ())
    for name in redundant:
        tensors.pop(name, None)
    _check_tensors(net.state_dict(), tensors, directory)
    net.load_state_dict(tensors)
    return net.eval()


def save(net: T5, directory: Path, *, half: bool = False) -> None:
    """Write config.json and model.safetensors, in fp16 if `half`; transformers reads both."""
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(net.config.to_dict(), indent=2)
    (directory / CONFIG).write_text(text + "\n", encoding="utf-8")
    dtype = torch.float16 if half else torch.float32
    tensors = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in net.state_dict().items()}
    save_file(tensors, directory / WEIGHTS, metadata={"format": "pt"})


def _read_tensors(directory: Path) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for name in _shards(directory):
        path = directory / name
        if not path.is_file():
            raise WeightsMissing(f"{path} is not there. Fetch the model again from where it was released.")
        tensors |= load_file(path)
    return tensors


def _shards(directory: Path) -> list[str]:
    """The safetensors files of a directory, by its index where it has one."""
    index = directory / INDEX
    if not index.is_file():
        return [WEIGHTS]
    weight_map = cast(Mapping[str, str], json.loads(index.read_text(encoding="utf-8"))["weight_map"])
    names = sorted(set(weight_map.values()))
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise WeightsCorrupt(f"{index} names {name!r}: not a safetensors file of this directory.")
    return names


def _check_tensors(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], directory: Path) -> None:
    problems = [f"lacks {name}" for name in sorted(expected.keys() - found.keys())]
    problems += [f"has an unknown {name}" for name in sorted(found.keys() - expected.keys())]
    for name in sorted(expected.keys() & found.keys()):
        if expected[name].shape != found[name].shape:
            problems.append(f"{name} is {_shape(found[name])}, not {_shape(expected[name])}")
    if problems:
        shown = "; ".join(problems[:3])
        raise WeightsCorrupt(f"{directory} does not fit its {CONFIG}: {shown} ({len(problems)} in all).")


def _shape(tensor: Tensor) -> str:
    return "x".join(str(size) for size in tensor.shape)
