"""`qdts finetune ROWS`: train the released model on rows of one's own; what comes out is served like any other."""

import argparse
from pathlib import Path
from typing import Any

from qdts.errors import ConfigError, ModelNotFound, Unsupported

_STOPPED = 1


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = subparsers.add_parser("finetune", help="train a released model on your own rows (needs the [train] extra)")
    parser.add_argument("rows", type=Path, metavar="ROWS", help='JSONL: {"query": ..., "doc": ..., "summary": ...}')
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write; DIR/model is what can be served")
    parser.add_argument("--check", action="store_true", help="only read the rows and say what would be trained on")
    parser.add_argument("--model", default="", metavar="DIR", help="the model to start from; default: the shipped one")
    parser.add_argument("--name", metavar="NAME", help="of the new model; default: the name of DIR")
    parser.add_argument("--minutes", type=float, default=10.0, metavar="N", help="train at most so long (10)")
    parser.add_argument("--epochs", type=int, default=4, metavar="N", help="read the rows at most so often (4)")
    parser.add_argument("--rate", type=float, default=3e-4, metavar="X", help="peak learning rate (3e-4)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--threads", type=int, default=2, metavar="N")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check, train, measure before and after, print what came of it."""
    from importlib.util import find_spec

    for package in ("torch", "onnx"):
        if find_spec(package) is None:
            raise Unsupported(f"fine-tuning needs {package}: pip install 'qdts[cpu,train]'")
    from qdts.models.training.finetune import check_rows, finetune

    config = read_config(args)
    if args.check:
        print(check_rows(config).to_text())
        return 0
    result = finetune(config)
    if result is None:
        return _STOPPED
    _print(result)
    return 0


def read_config(args: argparse.Namespace) -> Any:
    """What the flags ask for."""
    from qdts.models.shipped import find_model
    from qdts.models.training.finetune import FinetuneConfig

    if not args.rows.is_file():
        raise ConfigError(f"ROWS: no file {args.rows}")
    if args.out is None and not args.check:
        raise ConfigError("--out is missing: name a directory to write to, or --check to write nothing")
    model = find_model(args.model)
    if model is None:
        raise ModelNotFound("no model ships with this qdts: name one with --model")
    out = args.out or Path()
    try:
        return FinetuneConfig(
            rows=args.rows,
            model=model,
            out=out,
            name=args.name if args.name is not None else out.name or "finetuned",
            minutes=args.minutes,
            num_epochs=args.epochs,
            learning_rate=args.rate,
            device=args.device,
            num_threads=args.threads,
        )
    except ValueError as fault:
        raise ConfigError(str(fault)) from fault


def _print(result: Any) -> None:
    from qdts.models.evaluation.before_after import before_after_text

    print(result.rows.to_text())
    print(f"trained {result.num_steps} steps\n")
    print(before_after_text(result.before, result.after, result.sample_before, result.sample_after))
    print(f"\n{result.model} can be served: qdts serve --model {result.model}")
