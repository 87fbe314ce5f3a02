"""Results of several runs as one: what is measured anew replaces what was there, the rest stays.

`runtimes[label]` is {"batches": {size: figures}}, each with the commit, date, threads and number of rows of its
measurement, or {"unavailable": why}.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qdts.loadtest.decoding.drafters import GATED
from qdts.loadtest.decoding.figures import Figures, is_lossless

HEADLINE = "onnx_int8"


def load_runtimes(path: Path, model: str) -> Figures:
    """By label what a result file holds of this model; nothing where there is none, or it is laid out otherwise."""
    if not path.is_file():
        return {}
    figures = json.loads(path.read_text(encoding="utf-8"))["figures"]
    return figures["runtimes"] if figures.get("model") == model else {}


def add_batch(runtimes: Figures, label: str, size: int, batch: Figures) -> None:
    """Keep one batch size's figures."""
    kept = runtimes.setdefault(label, {})
    kept.pop("unavailable", None)
    batches = {**kept.get("batches", {}), str(size): batch}
    kept["batches"] = {name: batches[name] for name in sorted(batches, key=int)}


def missing(runtimes: Figures, label: str, sizes: Sequence[int], facts: Mapping[str, Any], *, check: int) -> list[int]:
    """The batch sizes that were not measured with these facts; `facts["rows"]` is asked of batch size `check` alone."""
    batches = runtimes.get(label, {}).get("batches", {})

    def is_there(size: int) -> bool:
        batch = batches.get(str(size), {})
        asked = {name: value for name, value in facts.items() if name != "rows" or size == check}
        return bool(batch) and all(_bare(batch.get(name)) == _bare(value) for name, value in asked.items())

    return [size for size in sizes if not is_there(size)]


def _bare(fact: Any) -> Any:
    """A commit without its "+": the results, being written, are changed files themselves."""
    return fact.removesuffix("+") if isinstance(fact, str) else fact


def summarize(model: str, runtimes: Figures) -> Figures:
    """The headline first: of int8 at its smallest batch, gated as served. `rows`: the fewest that a runtime was
    checked on; `worst_batch_ratio`: the largest median of gated over plain."""
    measured = {label: found["batches"] for label, found in runtimes.items() if "batches" in found}
    every = [batch for batches in measured.values() for batch in batches.values()]
    if not every:
        return {"model": model, "rows": 0, "lossless": False, "runtimes": runtimes}
    headline = measured.get(HEADLINE) or next(iter(measured.values()))
    gated = headline[min(headline, key=int)]["drafters"][GATED]
    return {
        "model": model,
        "rows": min(max(batch["rows"] for batch in batches.values()) for batches in measured.values()),
        "lossless": all(map(is_lossless, every)),
        "tokens_per_step": gated["tokens_per_step"],
        "decode_speedup": gated["speedup"],
        "worst_batch_ratio": max(batch["gated_vs_plain"]["median"] for batch in headline.values()),
        "worst_ratio_of_any_runtime": max(batch["gated_vs_plain"]["median"] for batch in every),
        "runtimes": runtimes,
    }
