"""Which integer products this CPU sums exactly. Reads /proc/cpuinfo; knows nothing of models.

Without VNNI, ONNX Runtime multiplies uint8 by int8 with VPMADDUBSW on AVX2 and AVX-512 alike: it adds pairs of
products in 16 bits and saturates at 32,767. Weights of 7 bits cannot reach that (2 x 255 x 63), weights of 8 bits
can, and nothing would say so. VPDPBUSD (VNNI) sums in 32 bits; so do the instructions of 64-bit Arm.
"""

import platform
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_EXACT_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})
_ARM = frozenset({"aarch64", "arm64"})

NEEDS = {
    7: "any CPU",
    8: "a CPU with VNNI (avx512_vnni, avx_vnni or amx_int8) or 64-bit Arm: elsewhere sums saturate",
}


def sums_exactly(machine: str | None = None, cpuinfo: Path = _CPUINFO) -> bool:
    """May weights have 8 bits here? False where it cannot be known."""
    if (machine or platform.machine()).lower() in _ARM:
        return True
    return bool(_flags(cpuinfo) & _EXACT_FLAGS)


def safe_weight_bits() -> int:
    """8 where this CPU sums such products exactly, else 7."""
    return 8 if sums_exactly() else 7


def _flags(cpuinfo: Path) -> frozenset[str]:
    """The first processor's flags; none where the file cannot be read."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return frozenset(value.split())
    return frozenset()
