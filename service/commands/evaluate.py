"""`qdts eval`: scores of the model and of the baselines, as a table and a plot."""

import argparse
from pathlib import Path
from typing import Any

from qdts.errors import ConfigError


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = subparsers.add_parser("eval", help="score the model and the baselines")
    parser.add_argument(
        "--data", type=Path, help="a directory of the public sets, or a JSONL file; default: the sample"
    )
    parser.add_argument("--sets", default="", metavar="A,B", help="only these sets")
    parser.add_argument("--rows", type=int, metavar="N", help="at most N rows per set")
    parser.add_argument("--systems", metavar="A,B", help="only these baselines and rungs")
    parser.add_argument("--model", metavar="DIR", help='a model directory; default: the shipped one; "none": no model')
    parser.add_argument("--modes", default="joint,indexed", metavar="A,B")
    parser.add_argument("--runtimes", default="onnx", metavar="A,B")
    parser.add_argument("--precisions", default="int8", metavar="A,B")
    parser.add_argument("--max-words", type=int, default=50, metavar="N")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write report.json, .md, .png and all outputs there")
    parser.add_argument(
        "--semantic",
        action=argparse.BooleanOptionalAction,
        help="cosines and minilm_1; default: where installed",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the report."""
    import json

    from qdts.models.evaluation.run import run_evaluation
    from qdts.models.evaluation.tables import to_markdown

    report = run_evaluation(read_config(args))
    print(json.dumps(report.to_json(), ensure_ascii=False) if args.json else to_markdown(report))
    return 0


def read_config(args: argparse.Namespace) -> Any:
    """What the flags ask for."""
    from qdts.models.evaluation.config import EvaluationConfig

    if args.data is not None and not args.data.exists():
        raise ConfigError(f"--data: {args.data} does not exist")
    return EvaluationConfig(
        data=args.data,
        sets=_names(args.sets),
        rows_per_set=args.rows,
        systems=EvaluationConfig().systems if args.systems is None else _names(args.systems),
        model_dir=_model_dir(args.model),
        modes=_modes(args.modes),
        runtimes=_names(args.runtimes),
        precisions=_names(args.precisions),
        max_words=args.max_words,
        semantic=args.semantic,
        out_dir=args.out,
        progress=not args.quiet,
    )


def _model_dir(name: str | None) -> Path | None:
    from qdts.models.shipped import find_model

    return find_model(name or "")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _modes(text: str) -> Any:
    names = _names(text)
    if unknown := [name for name in names if name not in ("joint", "indexed")]:
        raise ConfigError(f"--modes: {unknown[0]} is not one of joint, indexed")
    return names
