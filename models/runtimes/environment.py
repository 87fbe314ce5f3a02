"""Is the installed ONNX Runtime one that can be trusted to be what it says? Checked once, at start-up.

The CPU and GPU wheels unpack into the same folder: installed together, the later one overwrites files of the
earlier, and removing either leaves a package without its parts. pip reports neither.
"""

import importlib
from importlib import metadata

from qdts.errors import Unsupported

# Every distribution that installs the module `onnxruntime`.
_DISTRIBUTIONS = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino")


def installed() -> tuple[str, ...]:
    """The distributions here that provide `onnxruntime`."""
    found: list[str] = []
    for name in _DISTRIBUTIONS:
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        found.append(name)
    return tuple(found)


def check_onnxruntime() -> None:
    """Unsupported, with the command that repairs it, unless exactly one intact ONNX Runtime is installed."""
    found = installed()
    if len(found) > 1:
        raise Unsupported(
            f"{' and '.join(found)} are both installed and overwrite each other's files. Keep one:"
            f" {_repair(found, 'onnxruntime-gpu' if 'onnxruntime-gpu' in found else found[0])}"
        )
    try:
        module = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise Unsupported(f"ONNX Runtime cannot be imported ({error}): pip install 'qdts[cpu]'") from error
    if not hasattr(module, "InferenceSession"):
        raise Unsupported(
            "the onnxruntime package has lost its parts (no InferenceSession):"
            f" {_repair(found or ('onnxruntime',), found[0] if found else 'onnxruntime')}"
        )


def _repair(remove: tuple[str, ...], keep: str) -> str:
    return f"pip uninstall -y {' '.join(remove)} && pip install {keep}"
