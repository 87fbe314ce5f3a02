"""Which model directory a name means, and where the models that ship with qdts lie. Opens no model.

weights/ stands beside this file in a checkout and in an installed wheel alike (it is package data).
"""

from pathlib import Path

from qdts.errors import ConfigError, WeightsMissing
from qdts.models.manifest import MANIFEST

NO_MODEL = "none"
WEIGHTS_DIR = Path(__file__).parent / "weights"


def find_model(name: str, weights_dir: Path = WEIGHTS_DIR) -> Path | None:
    """The directory meant by `name`: a path, the name of a shipped model, or "" for the only one that ships.

    None for "none", and for "" where none ships; WeightsMissing where a name is given and nothing is there.
    """
    if name == NO_MODEL:
        return None
    shipped = shipped_models(weights_dir)
    if name == "":
        return _only(shipped)
    for directory in (Path(name), *shipped):
        if directory.is_dir() and (directory == Path(name) or directory.name == name):
            return directory
    known = ", ".join(directory.name for directory in shipped) or "none"
    raise WeightsMissing(f"model {name!r} is no directory and does not ship with qdts; shipped: {known}")


def shipped_models(weights_dir: Path = WEIGHTS_DIR) -> list[Path]:
    """Directories of the shipped models, by name."""
    return sorted(path.parent for path in weights_dir.glob(f"*/{MANIFEST}"))


def _only(shipped: list[Path]) -> Path | None:
    if len(shipped) > 1:
        names = ", ".join(directory.name for directory in shipped)
        raise ConfigError(f"several models ship with qdts: name one of {names}")
    return shipped[0] if shipped else None
