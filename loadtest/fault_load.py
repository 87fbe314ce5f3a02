"""Calls that go on while Redis breaks: a Poisson process of them, half of which ask what was asked before."""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass

from qdts.errors import QdtsError
from qdts.service.client import AsyncClient, ClientConfig, RetryPolicy

DOCUMENT = "The lighthouse was built in 1874 on the northern cape. Keepers lived there until 1981."
RATE_PER_S = 100.0
NUM_POPULAR = 20
TIMEOUT_S = 2.0


@dataclass
class Outcomes:
    """How calls ended, by rung or error, and their milliseconds from when they were due; how late the loop was."""

    ends: Counter[str]
    took_ms: list[float]
    late_ms: list[float]

    @property
    def num_failed(self) -> int:
        """Calls that ended in an error."""
        return sum(count for end, count in self.ends.items() if end[0].isupper())


async def load(port: int, seconds: float, name: str) -> Outcomes:
    """Calls that arrive when they are due, whether earlier ones have ended or not. No two names ask the same."""
    chance, late_ms = random.Random(name), list[float]()
    started_at, due_s, calls = time.monotonic(), 0.0, list[asyncio.Task[tuple[str, float]]]()
    async with AsyncClient(f"127.0.0.1:{port}", one_try()) as client:
        while (due_s := due_s + chance.expovariate(RATE_PER_S)) < seconds:
            await asyncio.sleep(max(0.0, started_at + due_s - time.monotonic()))
            late_ms.append(1000 * (time.monotonic() - started_at - due_s))
            is_popular = chance.random() < 0.5
            query = f"popular {chance.randrange(NUM_POPULAR)}" if is_popular else f"new {chance.getrandbits(64)}"
            calls.append(asyncio.ensure_future(call(client, f"{name} {query}", started_at + due_s)))
        ended = await asyncio.gather(*calls)
    return Outcomes(Counter(end for end, _ in ended), [took_ms for _, took_ms in ended], late_ms)


async def call(client: AsyncClient, query: str, due_at: float) -> tuple[str, float]:
    """One call: its rung or its error's name, and milliseconds since `due_at` (time.monotonic())."""
    try:
        end = (await client.summarize(query, DOCUMENT)).rung
    except QdtsError as error:
        end = type(error).__name__
    return end, 1000 * (time.monotonic() - due_at)


def one_try(timeout_s: float = TIMEOUT_S) -> ClientConfig:
    """No retries: a call that fails is counted."""
    return ClientConfig(timeout_s=timeout_s, retry=RetryPolicy(max_attempts=1))
