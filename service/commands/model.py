"""`qdts model`: what a model directory is, and whether files and figures are those that were released."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qdts.errors import ConfigError, ModelNotFound

_DIFFERS = 1  # exit status: the files are right, the figures are not


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = subparsers.add_parser("model", help="describe or verify a model directory")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    for name, run, text in (
        ("show", show, "what the manifest says"),
        ("verify", verify, "check every file against its SHA-256, and compute the manifest's metrics again"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("directory", nargs="?", default="", metavar="DIR", help="default: the shipped model")
        action.add_argument("--json", action="store_true", help="one JSON object")
        action.set_defaults(run=run)
        if name == "verify":
            _add_verify_flags(action)


def _add_verify_flags(action: argparse.ArgumentParser) -> None:
    action.add_argument(
        "--data", type=Path, help="a directory of the public sets, or a JSONL file; default: the sample that ships"
    )
    action.add_argument("--rows", type=int, metavar="N", help="at most N rows per set: quicker, compared less tightly")
    action.add_argument("--files", action="store_true", help="only the files; needs no runtime")


def show(args: argparse.Namespace) -> int:
    """Print the manifest; checks no file."""
    from qdts.models import manifest

    directory = _find(args)
    found = manifest.read(directory)
    if args.json:
        _print_json(found, "not verified")
        return 0
    _print(found, directory, verdict="not verified")
    _print_figures(found)
    return 0


def verify(args: argparse.Namespace) -> int:
    """Print the manifest once every file is as it was released; then what its metrics are here."""
    from qdts.models import manifest

    if args.data is not None and not args.data.exists():
        raise ConfigError(f"--data: {args.data} does not exist")
    directory = _find(args)
    found = manifest.verify(directory)
    # Releases of before the sample's metrics were written have none: their files are all there is to check.
    is_measured = not args.files and (args.data is not None or "sample" in found.metrics)
    checks = _check_figures(args, directory, found) if is_measured else []
    holds = all(check.holds for check in checks)
    verdict = "verified" if holds else "verified, metrics differ"
    if args.json:
        _print_json(found, verdict, checks=[asdict(check) | {"holds": check.holds} for check in checks])
    else:
        _print(found, directory, verdict="verified")
        _print_checks(checks)
    return 0 if holds else _DIFFERS


def _check_figures(args: argparse.Namespace, directory: Path, found: Any) -> Any:
    from qdts.models.evaluation.card import choose_card, compare, evaluation_of
    from qdts.models.evaluation.run import run_evaluation

    card = choose_card(found.metrics, args.data)
    return compare(card, run_evaluation(evaluation_of(card, directory, args.data, args.rows)))


def _find(args: argparse.Namespace) -> Path:
    from qdts.models.shipped import find_model

    directory = find_model(args.directory)
    if directory is None:
        raise ModelNotFound("no model ships with this qdts: name a model directory")
    return directory


def _print_json(manifest: Any, verdict: str, **more: Any) -> None:
    values = {**asdict(manifest), "digest": manifest.digest, "verdict": verdict, **more}
    print(json.dumps(values, ensure_ascii=False))


def _print(manifest: Any, directory: Path, *, verdict: str) -> None:
    print(f"{manifest.name} {manifest.version}, {manifest.licence}, made {manifest.created}")
    print(f"in {directory}")
    print(f"digest {manifest.digest[:12]}, files {verdict}")
    for name, entry in sorted(manifest.files.items()):
        print(f"  {entry.sha256[:12]} {entry.bytes:>12,}  {name}")


def _print_figures(manifest: Any) -> None:
    from qdts.models.evaluation.check_table import card_text

    for title in ("architecture", "quantization", "training_data"):
        print(f"{title}: {json.dumps(getattr(manifest, title), ensure_ascii=False)}")
    for card in (manifest.metrics, manifest.metrics.get("sample", {})):
        if text := card_text(card):
            print(text)


def _print_checks(checks: Any) -> None:
    from qdts.models.evaluation.check_table import checks_text

    print(checks_text(checks) if checks else "metrics not computed again")
