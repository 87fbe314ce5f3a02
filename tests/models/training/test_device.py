"""bf16 is used where there are instructions for it, or where it is asked for."""

from pathlib import Path

import pytest
import torch

from qdts.models.training.device import cpu_has_bf16, restore_rng, rng_state, uses_bf16

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("flags : fpu avx512f avx512_bf16 sse", True),
        ("flags : fpu amx_bf16", True),
        ("flags : fpu avx512f avx512_vnni", False),
        ("", False),
    ],
)
def test_a_cpu_is_asked_for_its_instructions(flags: str, expected: bool, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(f"model name : x\n{flags}\n")
    assert cpu_has_bf16(tmp_path / "cpuinfo") == expected


def test_a_system_that_does_not_tell_has_none(tmp_path: Path) -> None:
    assert not cpu_has_bf16(tmp_path / "nothing")


@pytest.mark.parametrize("has_bf16", [True, False])
def test_auto_follows_the_device(has_bf16: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qdts.models.training.device.cpu_has_bf16", lambda: has_bf16)
    assert uses_bf16("auto", CUDA) and uses_bf16("auto", CPU) == has_bf16
    assert uses_bf16("bf16", CPU) and not uses_bf16("fp32", CUDA)


def test_random_numbers_go_on_where_they_were() -> None:
    state = rng_state(CPU)
    first = torch.rand(4)
    restore_rng(state, CPU)
    assert torch.equal(torch.rand(4), first)
