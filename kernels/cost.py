"""What an operation must move and compute, whatever runs it; and the time that takes at a device's peaks.

The roofline model: Williams, Waterman, Patterson 2009, "Roofline: An Insightful Visual Performance Model".
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """A device's limits: floating-point operations and bytes of its memory, per second."""

    flops_per_s: float
    bytes_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Bytes read and written once each, and floating-point operations, a multiply-add being two."""

    num_bytes: int
    num_flops: int

    def floor_ms(self, peak: Peak) -> float:
        """Milliseconds below which no implementation can get."""
        return 1000 * max(self.num_bytes / peak.bytes_per_s, self.num_flops / peak.flops_per_s)
