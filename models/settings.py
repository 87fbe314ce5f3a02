"""qdts.json of a model directory: how its weights are to be decoded. Part of a release, so no setting of a server.

    {"copying": {"trims": true}}

A directory without the file has the defaults. Knows nothing of nets; the manifest lists the file like any other.
"""

import json
import shutil
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self, cast

from qdts.errors import WeightsCorrupt

SETTINGS = "qdts.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Copying:
    """The copy constraint's options that a net must have been trained for."""

    # Pieces may begin and end at clause marks (decoding/copying.py).
    trims: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """Everything qdts.json can say."""

    copying: Copying = field(default_factory=Copying)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """What the directory says; the defaults where it says nothing. WeightsCorrupt names what is unknown."""
        path = directory / SETTINGS
        if not path.is_file():
            return cls()
        try:
            return cls(copying=_copying(json.loads(path.read_text(encoding="utf-8"))))
        except ValueError as error:
            raise WeightsCorrupt(f"{path}: {error}") from error

    def save(self, directory: Path) -> None:
        """Write qdts.json."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / SETTINGS).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


def copy_settings(source: Path, target: Path) -> None:
    """The settings of one model directory become another's; one that has none leaves none behind."""
    if (source / SETTINGS).is_file():
        shutil.copyfile(source / SETTINGS, target / SETTINGS)
    else:
        (target / SETTINGS).unlink(missing_ok=True)


def _copying(values: Any) -> Copying:
    table = _table(values, "", {"copying"}).get("copying", {})
    table = _table(table, "copying.", {known.name for known in fields(Copying)})
    if not isinstance(trims := table.get("trims", False), bool):
        raise ValueError(f"copying.trims must be true or false, is {trims!r}")
    return Copying(trims=trims)


def _table(values: Any, prefix: str, known: set[str]) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise ValueError(f"{prefix.rstrip('.') or 'it'} must be a JSON object, is {values!r}")
    table = cast("dict[str, Any]", values)
    if unknown := sorted(set(table) - known):
        raise ValueError(f"unknown setting {prefix}{unknown[0]}; known: {', '.join(sorted(known))}")
    return table
