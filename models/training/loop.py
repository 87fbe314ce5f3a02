"""The training loop: a task's batches in, a checkpoint and a log out. Resumes where it was stopped, bit for bit.

A step is forward, backward, clip, update. The loop knows nothing of what is learned: that is the task
(`task.py`).
"""

import math
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from qdts.models.nets.flops import peak_flops
from qdts.models.training.config import LoopConfig
from qdts.models.training.device import device_name, find_device, restore_rng, rng_state, uses_bf16
from qdts.models.training.meter import Meter, append_row, cut_rows
from qdts.models.training.optimizers import is_position_bias, make_optimizers
from qdts.models.training.prefetch import prefetch
from qdts.models.training.task import Task, batches_from

METRICS = "metrics.jsonl"
CHECKPOINT = "checkpoint.pt"


class Trainer:
    """One run: the net, its optimisers, the task. Moves the net to the run's device, where it stays."""

    def __init__(self, net: nn.Module, task: Task, config: LoopConfig) -> None:
        torch.manual_seed(config.seed)  # pyright: ignore[reportUnknownMemberType]
        torch.set_num_threads(config.num_threads)
        self.device = find_device(config.device)
        self.net = net.to(self.device)
        self.task = task
        self.config = config
        self.step_idx = 0
        self._loss: Tensor | None = None
        self._uses_bf16 = uses_bf16(config.precision, self.device)
        self._optimizers = make_optimizers(net, config)
        learned = [pair for pair in net.named_parameters() if pair[1].requires_grad]
        self._position_biases = [parameter for name, parameter in learned if is_position_bias(name)]
        self._meter = Meter(config.peak_flops or peak_flops(device_name(self.device)))
        if config.compile:
            compile_parts(net)
        config.out.mkdir(parents=True, exist_ok=True)

    def run(self) -> bool:
        """Train on from an earlier checkpoint in `out`, if there is one, checkpointing on the way.

        True after the last step; False where `max_minutes` ended the run before it: the next run goes on.
        """
        started = time.monotonic()
        self._resume()
        with closing(prefetch(batches_from(self.task, self.step_idx), self.config.prefetch)) as batches:
            self._train(batches, started)
        self.save()
        return self.step_idx >= self.config.num_steps

    def _train(self, batches: Iterator[Any], started: float) -> None:
        saved_at = started
        num_steps, limit = self.config.num_steps, 60 * (self.config.max_minutes or math.inf)
        self._meter.start()
        with tqdm(total=num_steps, initial=self.step_idx, unit="step") as progress:
            while self.step_idx < num_steps and time.monotonic() - started < limit:
                self._train_step(next(batches))
                progress.update()
                if self.step_idx % self.config.log_every == 0:
                    self._log(progress)
                if time.monotonic() - saved_at > 60 * self.config.checkpoint_minutes:
                    self.save()
                    saved_at = time.monotonic()

    def _train_step(self, batch: Any) -> None:
        factor = self.config.rate_at(self.step_idx)
        for optimizer, rate in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
        for parameter in self._position_biases:
            parameter.requires_grad_(self.step_idx % self.config.position_bias_every == 0)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._uses_bf16):
            outcome = self.task.loss(self.net, batch)
        outcome.loss.backward()  # pyright: ignore[reportUnknownMemberType]
        norm = self._update()
        self.step_idx += 1
        self._loss = outcome.loss.detach()
        values = {"loss": outcome.loss, "rate": factor, "grad_norm": norm, **outcome.report}
        self._meter.add(values, tokens=outcome.num_tokens, flops=outcome.flops)

    def _update(self) -> Tensor:
        """Clip, step, forget the gradients; returns their norm before clipping."""
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), self.config.clip_norm)
        for optimizer, _ in self._optimizers:
            optimizer.step()
            optimizer.zero_grad()
        return norm

    def _log(self, progress: "tqdm[Any]") -> None:
        self._check_loss()
        row = {"step": self.step_idx, **self._meter.flush()}
        append_row(self.config.out / METRICS, row)
        shown = {"loss": f"{row['loss']:.3f}", "tok/s": f"{row['tokens_per_s']:.0f}"}
        if "mfu" in row:
            shown["mfu"] = f"{row['mfu']:.1%}"
        progress.set_postfix(shown)

    def _check_loss(self) -> None:
        """Stop before a checkpoint of broken weights replaces a good one."""
        if self._loss is not None and not math.isfinite(float(self._loss)):
            raise FloatingPointError(f"the loss is not finite at step {self.step_idx}: lower learning_rate")

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        self._check_loss()
        state = {
            "net": self.net.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer, _ in self._optimizers],
            "step": self.step_idx,
            "rng": rng_state(self.device),  # dropout draws from it
            "meter": self._meter.state_dict(),
        }
        partial = self.config.out / "checkpoint.partial"
        torch.save(state, partial)
        partial.rename(self.config.out / CHECKPOINT)

    def _resume(self) -> None:
        path = self.config.out / CHECKPOINT
        if path.exists():
            state = torch.load(path, weights_only=True, map_location="cpu")
            self.net.load_state_dict(state["net"])
            for (optimizer, _), saved in zip(self._optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
            restore_rng(state["rng"], self.device)
            self._meter.load_state_dict(state["meter"])
            self.step_idx = state["step"]
        cut_rows(self.config.out / METRICS, self.step_idx)


def compile_parts(net: nn.Module) -> None:
    """torch.compile in place for each direct part that has parts of its own (encoder, decoder, ...).

    Tasks call a net by its parts, which compiling the net as a whole would leave as they were; names in the state
    dict do not change.
    """
    for part in net.children():
        if any(True for _ in part.children()):
            part.compile()  # pyright: ignore[reportUnknownMemberType]
