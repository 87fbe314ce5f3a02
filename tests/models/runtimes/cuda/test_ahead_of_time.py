"""All that the runtime launches compiles: in a process that interprets nothing and launches nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qdts.kernels.ahead_of_time import SHARED_LIMITS

CAPABILITY = 89  # of those it is meant for, the one with the least shared memory


@pytest.mark.slow
def test_every_launch_compiles_and_fits_its_shared_memory(tmp_path: Path) -> None:
    """int8 has 16-bit kernels and those that read int8 documents; more by hand: `python compile_launches.py --help`."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    program = Path(__file__).with_name("compile_launches.py")
    command = [sys.executable, str(program), "--precision", "int8", "--capabilities", str(CAPABILITY)]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert ran.returncode == 0, ran.stderr
    compiled = [json.loads(line) for line in ran.stdout.splitlines()]
    assert all(row["binary_bytes"] for row in compiled)
    assert max(row["shared_bytes"] for row in compiled) <= SHARED_LIMITS[CAPABILITY]
    tokens = {row["TOKENS"] for row in compiled if row["kernel"] == "decode_self_attention_kernel"}
    parts = {row["PARTS"] for row in compiled if row["kernel"] == "read_part_kernel"}
    assert tokens == {16, 32, 64} and parts >= {1, 2}
    assert all(row["QUANTIZED"] for row in compiled if row["kernel"] == "read_part_kernel")
