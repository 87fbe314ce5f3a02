"""What this runtime cannot do without, said before an import fails."""

from importlib.util import find_spec

import torch

from qdts.errors import Unsupported


def check_triton() -> None:
    """Unsupported, with the command that installs it, unless Triton is there."""
    if find_spec("triton") is None:
        raise Unsupported("the cuda runtime needs Triton: pip install 'qdts[gpu]'")


def check_gpu(device: torch.device) -> None:
    """Unsupported unless this is a GPU that torch sees."""
    if device.type != "cuda" or not torch.cuda.is_available():
        raise Unsupported("the cuda runtime needs a GPU and a torch that sees it: take the runtime onnx on a CPU")
