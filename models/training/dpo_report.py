"""The report of a preference optimisation: dpo.json, and dpo.png of margins and rewards. Numbers in, files out."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from qdts.models.training.loop import METRICS
from qdts.models.training.meter import read_rows
from qdts.models.training.pairs import PairSet

REPORT = "dpo.json"
PICTURE = "dpo.png"

_GAINS = ("margin", "chosen_gain", "rejected_gain")


def round_report(directory: Path) -> dict[str, Any]:
    """One round: how many pairs, how far apart, the last row of the log, and the log."""
    pairs = PairSet(directory / "pairs")
    log = read_rows(directory / METRICS)
    return {
        "num_pairs": len(pairs),
        "mean_gap": mean(pairs.gaps()),
        "last": log[-1] if log else {},
        "log": log,
    }


def write_report(out: Path, *, rounds: Sequence[dict[str, Any]], held_out: dict[str, Any]) -> None:
    """dpo.json without the logs, dpo.png with them."""
    shown = [{name: value for name, value in one.items() if name != "log"} for one in rounds]
    text = json.dumps({"rounds": shown, "held_out": held_out}, indent=2)
    (out / REPORT).write_text(text + "\n", encoding="utf-8")
    plot_preferences(_one_after_another([one["log"] for one in rounds]), held_out, out / PICTURE)


def _one_after_another(logs: Sequence[Sequence[dict[str, float]]]) -> list[dict[str, float]]:
    """The rows of all rounds, steps counted on."""
    rows: list[dict[str, float]] = []
    for log in logs:
        before = rows[-1]["step"] if rows else 0
        rows += [{**row, "step": before + row["step"]} for row in log]
    return rows


def plot_preferences(rows: Sequence[dict[str, float]], held_out: dict[str, Any], target: Path) -> None:
    """Left margins and gains by step, in the middle accuracy, right rewards on held-out prompts."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    pyplot: Any = plt
    figure, (gains, accuracy, rewards) = pyplot.subplots(1, 3, figsize=(15, 4))
    steps = [row["step"] for row in rows]
    for name in _GAINS:
        gains.plot(steps, [row[name] for row in rows], label=name.replace("_", " "))
    gains.set_title("implicit reward margin; log p / p of the reference")
    gains.legend()
    accuracy.plot(steps, [row["preference_accuracy"] for row in rows])
    for axis in (gains, accuracy):
        axis.set_xlabel("step")
    accuracy.set_title("preference accuracy in training")
    _plot_rewards(rewards, held_out)
    figure.tight_layout()
    figure.savefig(target, dpi=120)
    pyplot.close(figure)


def _plot_rewards(axis: Any, held_out: dict[str, Any]) -> None:
    names = ("reward_before", "reward_after", "sampled_reward_before", "sampled_reward_after")
    scores = [held_out[name] for name in names]
    means = [score["mean"] for score in scores]
    below = [max(0.0, score["mean"] - score["low"]) for score in scores]
    above = [max(0.0, score["high"] - score["mean"]) for score in scores]
    labels = ["greedy,\nbefore", "greedy,\nafter", "sampled,\nbefore", "sampled,\nafter"]
    axis.bar(labels, means, yerr=[below, above], capsize=4)
    axis.set_title(f"reward, {held_out['num_prompts']} held-out prompts")
