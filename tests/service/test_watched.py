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
    assert value("qdts_decode_steps_total") == server.model.num_written, "the warm-up's included"
    # one token per step, from the model's own count; the warm-up is no request
    assert value("qdts_tokens_per_step_count") == 3
    assert value("qdts_tokens_per_step_bucket", le="1.0") == 3


async def test_steps_of_a_summary_that_is_given_up_are_wasted(server: Any, kit: Any, eventually: Any) -> None:
    server.model.step_s = 0.02
    call = asyncio.ensure_future(server.summarize(text="word " * 40 + ".", options=BYPASS))
    await eventually(lambda: server.model.num_steps >= 3)
    call.cancel()
    await eventually(lambda: server.model.num_cancelled == 1)
    value = server.application.metrics.value
    assert 3 <= value("qdts_wasted_steps_total") == server.model.num_steps
    assert value("qdts_wasted_steps_total") < value("qdts_decode_steps_total"), "the warm-up's were not"


async def test_where_everybody_gives_up_all_steps_are_wasted_and_no_more(
    server: Any, kit: Any, eventually: Any
) -> None:
    value = server.application.metrics.value
    before = value("qdts_decode_steps_total")
    server.model.step_s = 0.01
    for number in range(1, 4):
        begun = server.model.num_steps
        call = asyncio.ensure_future(server.summarize(text="word " * 40 + ".", options=BYPASS))
        await eventually(lambda begun=begun: server.model.num_steps >= begun + 3)
        call.cancel()
        await eventually(lambda number=number: server.model.num_cancelled == number)
    taken = value("qdts_decode_steps_total") - before
    assert value("qdts_wasted_steps_total") == taken == server.model.num_steps


async def test_a_step_that_fails_wastes_those_before_it(serve: Any, kit: Any, eventually: Any) -> None:
    server = await serve(engine=kit.Engine(max_batch=4))
    value, model = server.application.metrics.value, server.model
    before = value("qdts_decode_steps_total")
    model.toxic = "Toxic"
    model.gate.clear()
    calls = [asyncio.ensure_future(server.summarize(text="First of all.", options=BYPASS))]
    await eventually(lambda: model.num_steps == 1)
    calls += [
        asyncio.ensure_future(server.summarize(text=text, options=BYPASS)) for text in ("Another one.", "Toxic one.")
    ]
    await eventually(lambda: value("qdts_queue_length") == 2)
    model.gate.set()
    await asyncio.gather(*calls)
    assert model.step_sizes[:2] == [1, 3]
    assert value("qdts_wasted_steps_total") == 1 + 3 + 1, "together, and the toxic one's second try"
    assert value("qdts_decode_steps_total") - before == 1 + 3 + 1 + len("First of all.".split()) + 2


async def test_a_summary_that_cannot_be_read_was_for_nothing(server: Any, kit: Any) -> None:
    server.model.unspeakable = "Bad"
    await server.summarize(text="Bad luck here.", options=BYPASS)
    assert server.application.metrics.value("qdts_wasted_steps_total") == 3
