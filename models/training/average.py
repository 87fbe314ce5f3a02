"""The stage `average`: one net whose weights are the mean of several that began alike.

Wortsman et al. 2022, "Model soups" (arXiv 2203.05482): nets fine-tuned from one start lie in one basin, and their mean
is often better than either, at the cost of none.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from qdts.errors import ConfigError
from qdts.models.checkpoint import load
from qdts.models.training.run import write_model


@dataclass(frozen=True, slots=True, kw_only=True)
class AverageConfig:
    """Model directories of one shape; tokenizer, lexicon and settings of `out` are the first one's."""

    models: tuple[Path, ...]
    out: Path

    def __post_init__(self) -> None:
        if len(self.models) < 2:
            raise ValueError(f"models must name two directories or more, names {len(self.models)}")


def run_average(config: AverageConfig) -> None:
    """Write `out`, a model directory. ConfigError names a model of another shape or another tokenizer."""
    first, *others = config.models
    net = load(first)
    tokenizer = (first / "tokenizer.json").read_bytes()
    with torch.no_grad():
        for number, directory in enumerate(others, 2):
            other = load(directory)
            if other.config != net.config or (directory / "tokenizer.json").read_bytes() != tokenizer:
                raise ConfigError(f"models: {directory} has another shape or another tokenizer than {first}")
            for mean, parameter in zip(net.parameters(), other.parameters(), strict=True):
                mean += (parameter - mean) / number
    write_model(net, config.out, first)
