"""What measurements have in common: their flags, what they print, what they leave in results/.

With --json the last line printed is one JSON object. Without --quick the same object, with machine, versions
and commit, is written to results/<name>.json.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from qdts.models.evaluation.environment import describe_environment

RESULTS_DIR = Path(__file__).resolve().parent / "results"


def make_parser(description: str) -> argparse.ArgumentParser:
    """A parser with the flags that every measurement takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="under 50 s on two cores; writes no file")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser


def now() -> str:
    """The time, as results have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def record(
    name: str, args: argparse.Namespace, figures: Mapping[str, object], results_dir: Path = RESULTS_DIR
) -> dict[str, object]:
    """Figures with where and when they were measured; written unless the run is a quick one."""
    result: dict[str, object] = {
        "benchmark": name,
        "quick": args.quick,
        "at": now(),
        **describe_environment(),
        "figures": dict(figures),
    }
    if not args.quick:
        results_dir.mkdir(parents=True, exist_ok=True)
        text = json.dumps(result, indent=1, ensure_ascii=False)
        (results_dir / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    return result


def finish(
    name: str,
    args: argparse.Namespace,
    figures: Mapping[str, object],
    results_dir: Path = RESULTS_DIR,
) -> dict[str, object]:
    """Print the figures and, after a full run, write them; returns what was written."""
    result = record(name, args, figures, results_dir)
    for figure, value in figures.items():
        print(f"{figure:32} {value}", file=sys.stderr if args.json else sys.stdout)
    if args.json:
        print(json.dumps(result, ensure_ascii=False))
    return result
