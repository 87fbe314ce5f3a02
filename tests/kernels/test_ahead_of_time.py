"""Every kernel compiles for every target and fits its shared memory: in a process that interprets nothing."""

import json
import os
import re
import subprocess
import sys
from contextlib import ExitStack
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
    lines: list[str] = []
    with ExitStack() as running:  # half of the targets each
        halves = [running.enter_context(compiling(environment, [*SHARED_LIMITS][first::2])) for first in (0, 1)]
        for half in halves:
            said, problem = half.communicate()
            assert half.returncode == 0, problem
            lines += said.splitlines()
    return [json.loads(line) for line in lines]


def compiling(environment: dict[str, str], capabilities: list[int]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "qdts.kernels.ahead_of_time", "--dtypes", "fp16", "--capabilities"]
    pipe = subprocess.PIPE
    return subprocess.Popen([*command, *map(str, capabilities)], stdout=pipe, stderr=pipe, text=True, env=environment)


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
