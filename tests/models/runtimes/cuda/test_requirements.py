"""What is missing is said with what helps."""

from pathlib import Path

import pytest
import torch

from qdts.errors import Unsupported
from qdts.models.runtimes import load_runtime
from qdts.models.runtimes.config import RuntimeConfig
from qdts.models.runtimes.cuda import requirements


def test_without_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    requirements.check_triton()
    monkeypatch.setattr(requirements, "find_spec", lambda name: None)
    with pytest.raises(Unsupported, match=r"needs Triton: pip install 'qdts\[gpu\]'"):
        requirements.check_triton()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu(tmp_path: Path) -> None:
    for device in ("cpu", "cuda:0"):
        with pytest.raises(Unsupported, match="needs a GPU and a torch that sees it: take the runtime onnx on a CPU"):
            load_runtime("cuda", tmp_path, RuntimeConfig(precision="fp16", device=device))
