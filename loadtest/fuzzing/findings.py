"""A flood of requests by many senders, and what became of them."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

WIDTH = 64
# Far beyond any deadline that is sent: what takes longer hangs.
HANG_S = 30.0
FAULTS = ("INTERNAL", "UNKNOWN", "DATA_LOSS")

# A method and a message for it; the method, the message and chances of the sender's own -> the status code's name.
Make = Callable[[random.Random], tuple[str, bytes]]
Send = Callable[[str, bytes, random.Random], Awaitable[str]]


@dataclass(kw_only=True)
class Findings:
    """What was sent and how it ended."""

    by_code: Counter[str] = field(default_factory=Counter)
    num_hangs: int = 0
    crashes: list[str] = field(default_factory=list)

    @property
    def num_requests(self) -> int:
        """All that was sent, whatever came of it."""
        return self.by_code.total() + self.num_hangs

    @property
    def num_internal(self) -> int:
        """Answers that say that the server was at fault."""
        return sum(self.by_code[code] for code in FAULTS)


async def flood(make: Make, send: Send, findings: Findings, *, seed: int, seconds: float, width: int = WIDTH) -> None:
    """So many senders side by side, for so long."""
    ends_at = time.monotonic() + seconds

    async def sender(name: int) -> None:
        rng = random.Random(seed * width + name)
        while time.monotonic() < ends_at:
            method, message = make(rng)
            try:
                async with asyncio.timeout(HANG_S):
                    code = await send(method, message, rng)
                findings.by_code[code] += 1
            except TimeoutError:
                findings.num_hangs += 1

    for outcome in await asyncio.gather(*map(sender, range(width)), return_exceptions=True):
        if outcome is not None:
            findings.crashes.append(type(outcome).__name__)
