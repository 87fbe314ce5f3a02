"""The optimisers of a run: which parameters go to which, at which peak rate."""

import torch
from torch import Tensor, nn

from qdts.models.training.config import LoopConfig
from qdts.models.training.device import uses_bf16
from qdts.models.training.muon import Muon

Rated = tuple[torch.optim.Optimizer, float]


def make_optimizers(net: nn.Module, config: LoopConfig) -> list[Rated]:
    """Optimisers with their peak rates: Muon for hidden matrices if asked for, AdamW for the rest.

    With an `encoder_rate` the encoder's blocks have AdamW at that rate, but for their position biases, which are of the
    rest. Parameters that need no gradient belong to none. The net is on the run's device already.
    """
    encoder, hidden, rest = split_parameters(net, splits_encoder=config.encoder_rate is not None)
    optimizers: list[Rated] = []
    if encoder and config.encoder_rate is not None:
        optimizers.append((_adamw(encoder, config.weight_decay), config.encoder_rate))
    if hidden and config.optimizer == "adamw":
        optimizers.append((_adamw(hidden, config.weight_decay), config.learning_rate))
    elif hidden:
        bf16 = uses_bf16(config.precision, hidden[0].device)
        muon = Muon(hidden, lr=config.learning_rate, weight_decay=config.weight_decay, bf16=bf16)
        optimizers.append((muon, config.learning_rate))
    if rest:
        optimizers.append((_adamw(rest, 0.0), config.embedding_rate))
    return optimizers


def _adamw(parameters: list[Tensor], weight_decay: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, weight_decay=weight_decay, betas=(0.9, 0.98), fused=parameters[0].is_cuda)


def split_parameters(
    net: nn.Module, *, splits_encoder: bool = False
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """The encoder if asked for; matrices inside blocks; everything else: embeddings, norms, position biases, ..."""
    encoder: list[Tensor] = []
    hidden: list[Tensor] = []
    rest: list[Tensor] = []
    for name, parameter in net.named_parameters():
        if not parameter.requires_grad:
            continue
        if is_position_bias(name):
            rest.append(parameter)
        elif splits_encoder and ".encoder." in f".{name}":
            encoder.append(parameter)
        else:
            (hidden if parameter.ndim == 2 and ".block." in name else rest).append(parameter)
    return encoder, hidden, rest


def is_position_bias(name: str) -> bool:
    """Is a parameter of this name a table of T5's relative positions?"""
    return "relative_attention_bias" in name
