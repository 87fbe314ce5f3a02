"""What a run has measured since its last row in the log, and the log: metrics.jsonl, one row per interval.

Knows nothing of nets, tasks or optimisers. Its state goes into the checkpoint, so that a resumed run writes the
rows an uninterrupted one would have written, but for the times.
"""

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

Number = float | Tensor


class Meter:
    """Means over the steps of an interval; tokens, floating-point operations and seconds of it and of the run."""

    def __init__(self, peak_flops: float | None = None) -> None:
        self._peak_flops = peak_flops
        self._columns: dict[str, list[Number]] = {}
        self._interval = {"tokens": 0.0, "flops": 0.0, "seconds": 0.0}
        self._run = {"tokens": 0.0, "seconds": 0.0}
        self._started = time.monotonic()

    def start(self) -> None:
        """Time begins to count: what came before (loading, skipping batches) does not."""
        self._started = time.monotonic()

    def add(self, values: Mapping[str, Number], *, tokens: int, flops: float) -> None:
        """One step. Tensors are not waited for until `flush`."""
        for name, value in values.items():
            self._columns.setdefault(name, []).append(value.detach() if isinstance(value, Tensor) else value)
        self._interval["tokens"] += tokens
        self._interval["flops"] += flops

    def flush(self) -> dict[str, float]:
        """The interval's row: the mean of each column over the steps that have it, rates, sums of the run."""
        means = {name: _mean(values) for name, values in self._columns.items()}
        self._count_time()
        seconds = max(1e-9, self._interval["seconds"])
        for name in self._run:
            self._run[name] += self._interval[name]
        row = means | {"tokens_per_s": self._interval["tokens"] / seconds}
        if self._peak_flops and self._interval["flops"]:
            row["mfu"] = self._interval["flops"] / seconds / self._peak_flops
        row |= {"tokens": self._run["tokens"], "minutes": self._run["seconds"] / 60}
        self._columns = {}
        self._interval = dict.fromkeys(self._interval, 0.0)
        return {name: float(f"{value:.6g}") for name, value in row.items() if not math.isnan(value)}

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on in the middle of an interval."""
        self._count_time()
        columns = {name: [float(value) for value in values] for name, values in self._columns.items()}
        return {"columns": columns, "interval": dict(self._interval), "run": dict(self._run)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self._columns = {name: list(values) for name, values in state["columns"].items()}
        self._interval, self._run = dict(state["interval"]), dict(state["run"])

    def _count_time(self) -> None:
        now = time.monotonic()
        self._interval["seconds"] += now - self._started
        self._started = now


def _mean(values: list[Number]) -> float:
    """In float64, in order, whatever mixture of tensors and numbers: a resumed run has the same mean."""
    stacked = torch.stack([torch.as_tensor(value).detach().float().cpu().reshape(()) for value in values])
    return float(stacked.double().nanmean())


def append_row(path: Path, row: Mapping[str, float]) -> None:
    """Add one line to metrics.jsonl."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def read_rows(path: Path) -> list[dict[str, float]]:
    """The rows of metrics.jsonl; one that a kill cut in half, and what is not there, is left out."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line.endswith("}")]


def cut_rows(path: Path, step: int) -> None:
    """Leave out rows after `step`: a resumed run takes those steps, and writes those rows, again."""
    if not path.is_file():
        return
    kept = [row for row in read_rows(path) if row["step"] <= step]
    partial = path.with_suffix(".partial")
    partial.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
    partial.rename(path)
