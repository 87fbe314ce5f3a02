"""Direct preference optimisation: raise the better of two summaries over the worse, held to a frozen reference.

Rafailov et al. 2023, "Direct Preference Optimization: Your Language Model is Secretly a Reward Model" (arXiv
2305.18290), equation 7; label smoothing as in Mitchell 2023, "A note on DPO with noisy preferences". Probabilities
are those under the copy constraint (policy.py). Knows nothing of how pairs were made.

Shapes: B pairs · 2: chosen, rejected.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qdts.models.nets.t5 import T5
from qdts.models.training.pairs import Pair, PairSet
from qdts.models.training.policy import PolicyBatch, collate_walks, summary_log_probs
from qdts.models.training.task import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceConfig:
    """The objective. `beta` is the strength of the tie to the reference: the smaller, the further it may go."""

    beta: float = 0.1
    # The chance that a pair's order is wrong.
    label_smoothing: float = 0.0
    # Of a term that keeps the chosen summaries likely in themselves: - log p(chosen), per decision.
    sft_weight: float = 0.0
    tokens_per_batch: int = 6144
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.beta > 0:
            raise ValueError(f"beta must be above 0, is {self.beta}")
        if not 0 <= self.label_smoothing < 0.5:
            raise ValueError(f"label_smoothing must lie in [0, 0.5), is {self.label_smoothing}")
        if not self.sft_weight >= 0:
            raise ValueError(f"sft_weight must be at least 0, is {self.sft_weight}")
        if self.tokens_per_batch < 1:
            raise ValueError(f"tokens_per_batch must be at least 1, is {self.tokens_per_batch}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceBatch:
    """Pairs, padded: summaries 2 b and 2 b + 1 of `policy` are chosen and rejected of pair b.

    `reference` (B, 2) are the frozen log-probabilities, `num_decisions` (B, 2) how many each summary took.
    """

    policy: PolicyBatch
    reference: npt.NDArray[np.float32]
    num_decisions: npt.NDArray[np.float32]


def collate_pairs(pairs: list[Pair]) -> PreferenceBatch:
    """One batch of pairs."""
    sides = [(pair.chosen, pair.rejected) for pair in pairs]
    return PreferenceBatch(
        policy=collate_walks(pairs, [[side.walk for side in both] for both in sides]),
        reference=np.array([[side.log_prob for side in both] for both in sides], np.float32),
        num_decisions=np.array([[len(side.walk.places) for side in both] for both in sides], np.float32),
    )


def dpo_loss(log_probs: Tensor, reference: Tensor, *, beta: float, label_smoothing: float = 0.0) -> Tensor:
    """(B, 2) and (B, 2) -> (B,): - log sigmoid of the margin, mixed with that of the opposite order."""
    margins = preference_margins(log_probs, reference, beta)
    return -(1 - label_smoothing) * F.logsigmoid(margins) - label_smoothing * F.logsigmoid(-margins)


def preference_margins(log_probs: Tensor, reference: Tensor, beta: float) -> Tensor:
    """(B, 2) and (B, 2) -> (B,): how much higher the chosen one's implicit reward, beta log(p / p_ref), is."""
    gains = log_probs - reference
    return beta * (gains[:, 0] - gains[:, 1])


class PreferenceTask:
    """One set of pairs under one objective."""

    def __init__(self, pairs: PairSet, config: PreferenceConfig) -> None:
        self._pairs = pairs
        self._config = config

    def batches(self) -> Iterator[PreferenceBatch]:
        """Pairs of like length, a function of the seed."""
        return self.batches_from(0)

    def batches_from(self, step: int) -> Iterator[PreferenceBatch]:
        """The stream without its first `step` batches."""
        groups = self._pairs.batches(self._config.tokens_per_batch, self._config.seed, step)
        return (collate_pairs(group) for group in groups)

    def loss(self, net: nn.Module, batch: PreferenceBatch) -> Outcome:
        """`net` is a T5."""
        return preference_loss(cast(T5, net), batch, self._config)


def preference_loss(net: T5, batch: PreferenceBatch, config: PreferenceConfig) -> Outcome:
    """The mean loss of a batch; reports margin, accuracy (ties half), and both sides' log p / p_ref."""
    log_probs = summary_log_probs(net, batch.policy).view(-1, 2)
    reference, num_decisions = (
        torch.as_tensor(array).to(log_probs.device) for array in (batch.reference, batch.num_decisions)
    )
    losses = dpo_loss(log_probs, reference, beta=config.beta, label_smoothing=config.label_smoothing)
    loss = losses.mean()
    if config.sft_weight:
        loss = loss - config.sft_weight * (log_probs[:, 0] / num_decisions[:, 0].clamp(min=1)).mean()
    return Outcome(loss=loss, num_tokens=batch.policy.num_tokens, report=_report(losses, log_probs, reference, config))


def _report(
    losses: Tensor, log_probs: Tensor, reference: Tensor, config: PreferenceConfig
) -> dict[str, float | Tensor]:
    log_probs = log_probs.detach()
    margins = preference_margins(log_probs, reference, config.beta)
    gains = (log_probs - reference).mean(0)
    return {
        "dpo_loss": losses.detach().mean(),
        "margin": margins.mean(),
        "preference_accuracy": (margins.sign() + 1).mean() / 2,
        "chosen_gain": gains[0],
        "rejected_gain": gains[1],
    }
