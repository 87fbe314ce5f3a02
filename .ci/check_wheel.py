"""A wheel holds every module, stub and released weight of the checkout, and nothing outside `qdts`."""

import sys
import zipfile
from pathlib import Path

LAYERS = ("loadtest", "service", "models", "kernels")


def expected() -> set[str]:
    """Paths in the wheel that the checkout calls for."""
    names = {path.as_posix() for path in Path("qdts").glob("*.py")}
    names |= {path.as_posix() for path in Path("qdts/v1").glob("*.py*") if path.is_file()}
    for layer in LAYERS:
        names |= {f"qdts/{path.as_posix()}" for path in Path(layer).rglob("*.py")}
    weights = Path("models/weights").rglob("*")
    return names | {f"qdts/{path.as_posix()}" for path in weights if path.is_file()} | {"qdts/py.typed"}


def main(wheel: str) -> int:
    """0 if the wheel is whole."""
    names = set(zipfile.ZipFile(wheel).namelist())
    missing = sorted(expected() - names)
    foreign = sorted(name for name in names if not name.startswith(("qdts/", "qdts-")))
    for name in missing:
        print(f"missing in {wheel}: {name}")
    for name in foreign:
        print(f"does not belong in {wheel}: {name}")
    print(f"{len(names)} files, {Path(wheel).stat().st_size / 1e6:.1f} MB")
    return 1 if missing or foreign else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
