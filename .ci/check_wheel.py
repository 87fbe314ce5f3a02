"""A wheel holds every module, stub, data file and weight of the checkout, and nothing outside `qdts`."""

import sys
import zipfile
from pathlib import Path

DATA = ("models/weights", "models/evaluation/splits", "models/evaluation/samples")
LAYERS = ("loadtest", "service", "models", "kernels")


def expected() -> set[str]:
    """Paths in the wheel that the checkout calls for."""
    names = {path.as_posix() for path in Path("qdts").glob("*.py")}
    names |= {path.as_posix() for path in Path("qdts/v1").glob("*.py*") if path.is_file()}
    for layer in LAYERS:
        names |= {f"qdts/{path.as_posix()}" for path in Path(layer).rglob("*.py")}
    for folder in DATA:
        names |= {f"qdts/{path.as_posix()}" for path in Path(folder).rglob("*") if path.is_file()}
    return names | {"qdts/py.typed"}


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
