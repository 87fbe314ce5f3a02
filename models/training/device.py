"""Which device a run uses, in which precision, and the random numbers it draws. Knows nothing of nets."""

from pathlib import Path
from typing import Any, Literal

import torch

from qdts.errors import Unsupported

_CPU_INFO = Path("/proc/cpuinfo")
# Without one of these a CPU converts every bf16 product to fp32 and back, many times slower than fp32 alone.
_BF16_INSTRUCTIONS = frozenset({"avx512_bf16", "amx_bf16"})


def find_device(name: str) -> torch.device:
    """The torch device `name` (cpu, cuda, cuda:N); Unsupported where torch does not see it."""
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise Unsupported(f"device {name}: torch sees {torch.cuda.device_count()} CUDA devices here")
    return device


def uses_bf16(precision: Literal["auto", "fp32", "bf16"], device: torch.device) -> bool:
    """Are matrix products done in bf16? `auto`: on CUDA, and on a CPU that has instructions for it."""
    if precision == "auto":
        return device.type == "cuda" or cpu_has_bf16()
    return precision == "bf16"


def cpu_has_bf16(cpu_info: Path = _CPU_INFO) -> bool:
    """Does this CPU multiply bf16 matrices itself? False where nothing tells."""
    return cpu_info.is_file() and bool(_BF16_INSTRUCTIONS & set(cpu_info.read_text(encoding="utf-8").split()))


def device_name(device: torch.device) -> str:
    """What the maker calls it; "cpu" for every CPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def rng_state(device: torch.device) -> dict[str, Any]:
    """The states of the generators a step draws from: the CPU's and the device's."""
    state: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_rng(state: dict[str, Any], device: torch.device) -> None:
    """Put the generators back; a checkpoint from another kind of device restores what both have."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
