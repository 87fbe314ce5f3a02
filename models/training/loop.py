"""The training loop: batches in, a checkpoint and a loss curve out. Resumes where it was stopped.

`step` is forward, weighted cross-entropy, backward, clip, update.
"""

import json
import time

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from qdts.models.nets.t5 import T5
from qdts.models.tokenizer import FIRST_MARKER, NUM_MARKERS
from qdts.models.training.config import TrainConfig
from qdts.models.training.dataset import ExampleSet, TrainBatch, batches
from qdts.models.training.muon import Muon

_CLIP_NORM = 1.0


class Trainer:
    """One run: the net, its optimisers, the stream of batches."""

    def __init__(self, net: T5, config: TrainConfig) -> None:
        torch.manual_seed(config.seed)  # pyright: ignore[reportUnknownMemberType]
        torch.set_num_threads(config.num_threads)
        self.net = net
        self.config = config
        self.step_idx = 0
        self._optimizers = make_optimizers(net, config)
        self._batches = batches([ExampleSet(path) for path in config.data], config)
        config.out.mkdir(parents=True, exist_ok=True)

    def run(self) -> None:
        """Train to the last step, checkpointing on the way; picks up an earlier checkpoint in `out`."""
        self._resume()
        saved_at = time.monotonic()
        num_steps = self.config.num_steps
        for _ in tqdm(range(self.step_idx, num_steps), initial=self.step_idx, total=num_steps):
            self._train_step(next(self._batches))
            if time.monotonic() - saved_at > 60 * self.config.checkpoint_minutes:
                self.save()
                saved_at = time.monotonic()
        self.save()

    def _train_step(self, batch: TrainBatch) -> None:
        started = time.monotonic()
        for optimizer, rate in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * self.config.rate_at(self.step_idx)
        loss, report = weighted_loss(self.net, batch)
        loss.backward()  # pyright: ignore[reportUnknownMemberType]
        norm = torch.nn.utils.clip_grad_norm_(self.net.parameters(), _CLIP_NORM)
        for optimizer, _ in self._optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.step_idx += 1
        if self.step_idx % self.config.log_every == 0:
            tokens_per_s = int(batch.mask.sum()) / (time.monotonic() - started)
            self._log(loss=float(loss.detach()), grad_norm=float(norm), tokens_per_s=tokens_per_s, **report)

    def _log(self, **values: float) -> None:
        row = {"step": self.step_idx, **{name: round(value, 4) for name, value in values.items()}}
        with (self.config.out / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        state = {
            "net": self.net.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer, _ in self._optimizers],
            "step": self.step_idx,
            "torch_rng": torch.get_rng_state(),  # dropout draws from it
        }
        partial = self.config.out / "checkpoint.partial"
        torch.save(state, partial)
        partial.rename(self.config.out / "checkpoint.pt")

    def _resume(self) -> None:
        path = self.config.out / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, weights_only=True)
        self.net.load_state_dict(state["net"])
        for (optimizer, _), saved in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        torch.set_rng_state(state.get("torch_rng", torch.get_rng_state()))
        while self.step_idx < state["step"]:  # the stream is a function of the seed: skip what was read
            next(self._batches)
            self.step_idx += 1


def make_optimizers(net: T5, config: TrainConfig) -> list[tuple[torch.optim.Optimizer, float]]:
    """Optimisers with their peak rates: Muon for hidden matrices if asked for, AdamW for the rest."""
    hidden, rest = split_parameters(net)
    if config.optimizer == "adamw":
        return [
            (
                torch.optim.AdamW(hidden, weight_decay=config.weight_decay, betas=(0.9, 0.98)),
                config.learning_rate,
            ),
            (torch.optim.AdamW(rest, weight_decay=0.0, betas=(0.9, 0.98)), config.embedding_rate),
        ]
    muon = Muon(hidden, lr=config.learning_rate, weight_decay=config.weight_decay)
    return [
        (muon, config.learning_rate),
        (torch.optim.AdamW(rest, weight_decay=0.0, betas=(0.9, 0.98)), config.embedding_rate),
    ]


def split_parameters(net: T5) -> tuple[list[Tensor], list[Tensor]]:
    """Matrices inside blocks, and everything else: embeddings, norms, position biases, interaction."""
    hidden: list[Tensor] = []
    rest: list[Tensor] = []
    for name, parameter in net.named_parameters():
        is_hidden = parameter.ndim == 2 and ".block." in name and "relative_attention_bias" not in name
        (hidden if is_hidden else rest).append(parameter)
    return hidden, rest


def weighted_loss(net: T5, batch: TrainBatch) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy per label, weighted; and how often the right sentence would have been chosen first."""
    mask = torch.as_tensor(batch.mask)
    hidden = net.interact(net.encode(torch.as_tensor(batch.ids), mask), torch.as_tensor(batch.features))
    decoded = net.decode(torch.as_tensor(batch.tokens), hidden, mask)  # (B, T, C)
    weights = torch.as_tensor(batch.weights)
    wanted = weights > 0
    labels = torch.as_tensor(batch.labels)[wanted]  # (N,)
    logits = net.logits(decoded[wanted])  # (N, V)
    losses = F.cross_entropy(logits, labels, reduction="none")
    loss = (losses * weights[wanted]).sum() / weights.sum()
    return loss, _report(logits.detach(), labels, losses.detach())


def _report(logits: Tensor, labels: Tensor, losses: Tensor) -> dict[str, float]:
    is_marker = (labels >= FIRST_MARKER) & (labels < FIRST_MARKER + NUM_MARKERS)
    right = logits.argmax(-1) == labels
    return {
        "marker_accuracy": float(right[is_marker].float().mean()),
        "marker_loss": float(losses[is_marker].mean()),
        "copied_accuracy": float(right[~is_marker].float().mean()),
        "copied_loss": float(losses[~is_marker].mean()),
    }
