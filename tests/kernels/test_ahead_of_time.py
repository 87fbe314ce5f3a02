"""Every kernel compiles for every target and fits its shared memory: in a process that interprets nothing."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import qdts.kernels

pytest.importorskip("triton", reason="kernels need Triton")
import torch  # noqa: E402

from qdts.errors import Unsupported  # noqa: E402
from qdts.kernels.ahead_of_time import SHARED_LIMITS, compile_all  # noqa: E402


def kernels_in_source() -> set[str]:
    """Names of all kernels that are launched."""
    files = Path(qdts.kernels.__file__).parent.glob("*.py")
    return {name for file in files for name in re.findall(r"^def (\w+_kernel)\(", file.read_text(), re.MULTILINE)}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path_factory.mktemp("triton"))
    command = [sys.executable, "-m", "qdts.kernels.ahead_of_time", "--dtypes", "fp16"]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("capability", SHARED_LIMITS)
def test_every_kernel_compiles(capability: int, compiled: list[dict[str, Any]]) -> None:
    mine = [row for row in compiled if row["capability"] == capability]
    assert {row["kernel"] for row in mine} == kernels_in_source()
    assert all(row["binary_bytes"] for row in mine)
    assert max(row["shared_bytes"] for row in mine) <= SHARED_LIMITS[capability]


@pytest.mark.skipif(torch.cuda.is_available(), reason="kernels are not interpreted where there is a GPU")
def test_nothing_is_compiled_where_kernels_are_interpreted() -> None:
    with pytest.raises(Unsupported, match="unset TRITON_INTERPRET"):
        next(compile_all(80))
