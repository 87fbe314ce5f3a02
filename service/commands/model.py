"""`qdts model`: what a model directory is, and whether its files are the ones that were released."""

import argparse
from pathlib import Path
from typing import Any

from qdts.errors import ModelNotFound


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = subparsers.add_parser("model", help="describe or verify a model directory")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    for name, run, text in (
        ("show", show, "what the manifest says"),
        ("verify", verify, "check every file against its SHA-256 in the manifest"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("directory", nargs="?", default="", metavar="DIR", help="default: the shipped model")
        action.add_argument("--json", action="store_true", help="one JSON object")
        action.set_defaults(run=run)


def show(args: argparse.Namespace) -> int:
    """Print the manifest; checks no file."""
    from qdts.models import manifest

    directory = _find(args)
    return _print(manifest.read(directory), directory, is_json=args.json)


def verify(args: argparse.Namespace) -> int:
    """Print the manifest once every file is as it was released."""
    from qdts.models import manifest

    directory = _find(args)
    return _print(manifest.verify(directory), directory, is_json=args.json, verdict="verified")


def _find(args: argparse.Namespace) -> Path:
    from qdts.models.shipped import find_model

    directory = find_model(args.directory)
    if directory is None:
        raise ModelNotFound("no model ships with this qdts: name a model directory")
    return directory


def _print(manifest: Any, directory: Path, *, is_json: bool, verdict: str = "not verified") -> int:
    import json
    from dataclasses import asdict

    if is_json:
        print(json.dumps({**asdict(manifest), "digest": manifest.digest, "verdict": verdict}, ensure_ascii=False))
        return 0
    print(f"{manifest.name} {manifest.version}, {manifest.licence}, made {manifest.created}")
    print(f"in {directory}")
    print(f"digest {manifest.digest[:12]}, files {verdict}")
    for name, entry in sorted(manifest.files.items()):
        print(f"  {entry.sha256[:12]} {entry.bytes:>12,}  {name}")
    for title in ("architecture", "metrics", "training_data"):
        print(f"{title}: {json.dumps(getattr(manifest, title), ensure_ascii=False)}")
    return 0
