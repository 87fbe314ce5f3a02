"""The one name under which TensorRT is known here: `tensorrt`, or `tensorrt_rtx`, which has the same interface.

`tensorrt` builds and runs engines on the GPU of the machine it is on. `tensorrt_rtx` also builds on a machine without
a GPU, for the compute capabilities that it lists, and compiles kernels when an engine first runs.
https://docs.nvidia.com/deeplearning/tensorrt-rtx/latest/
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qdts.errors import Unsupported

LIBRARIES = ("tensorrt", "tensorrt_rtx")


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """An installed library: `module` is what `import` gave."""

    name: str
    version: str
    module: Any

    @property
    def is_rtx(self) -> bool:
        """Does it build for other GPUs than this machine's?"""
        return self.name == "tensorrt_rtx"


def load_library(names: Sequence[str] = LIBRARIES) -> Library:
    """The first of `names` that can be imported; Unsupported, with the command that installs one, if none can."""
    faults: list[str] = []
    for name in names:
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            faults.append(f"{name}: {error}")
            continue
        return Library(name=name, version=str(module.__version__), module=module)
    raise Unsupported(
        f"no TensorRT can be imported ({'; '.join(faults)}): pip install tensorrt, on a machine with a GPU,"
        " or pip install tensorrt-rtx"
    )


def make_logger(library: Library) -> tuple[Any, list[str]]:
    """A logger for that library, and the list into which it writes what went wrong."""
    errors: list[str] = []
    base: Any = library.module.ILogger
    worth_keeping = (base.Severity.INTERNAL_ERROR, base.Severity.ERROR)

    class Log(base):
        def __init__(self) -> None:
            base.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity in worth_keeping:
                errors.append(message)

    return Log(), errors


def last_words(errors: Sequence[str]) -> str:
    """What the library said last, for the end of an error message."""
    return f"the library says: {errors[-1]}" if errors else "the library does not say why"
