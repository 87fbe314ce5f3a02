"""Which steps were for nothing."""

import asyncio
from typing import Any

from qdts.v1 import summarization_pb2 as pb

BYPASS = pb.SummarizeOptions(cache_policy=pb.CACHE_POLICY_BYPASS)


async def test_finished_summaries_waste_nothing(server: Any, kit: Any) -> None:
    for number in range(3):
        await server.summarize(text=f"Document {number} is read. More.", options=BYPASS)
    value = server.application.metrics.value
    assert value("qdts_wasted_steps_total") == 0
    # one token per step, from the model's own count; the warm-up is no request
    assert value("qdts_tokens_per_step_count") == 3
    assert value("qdts_tokens_per_step_bucket", le="1.0") == 3


async def test_steps_of_a_summary_that_is_given_up_are_wasted(server: Any, kit: Any, eventually: Any) -> None:
    server.model.step_s = 0.02
    call = asyncio.ensure_future(server.summarize(text="word " * 40 + ".", options=BYPASS))
    await eventually(lambda: server.model.num_steps >= 3)
    call.cancel()
    await eventually(lambda: server.model.num_cancelled == 1)
    wasted = server.application.metrics.value("qdts_wasted_steps_total")
    assert 3 <= wasted == server.model.num_steps
