"""The operators' port: whole messages, changed ones and nonsense, with the right token, with a wrong one and without.

Drain is never called: it ends the server as it should, and what the end hides nobody finds. Models are swapped, but
only for the one that answers: nothing lies below admin.models_dir. Who has no good token must get no further than that.
"""

import random
from collections.abc import Sequence
from functools import partial
from typing import Any

import grpc
import grpc.aio
from hypothesis import strategies as st

from qdts.loadtest.fuzzing.connections import opening_of
from qdts.loadtest.fuzzing.findings import Findings, flood
from qdts.loadtest.fuzzing.mutations import ENUMS, TEXTS, change_bytes
from qdts.loadtest.fuzzing.wire import REFUSED, TIMEOUTS_S, ended, note_unreachable
from qdts.v1 import admin_pb2 as pb

SERVICE = "/qdts.v1.AdminService/"
METHODS = ("GetStatus", "SwapModel", "SwapModel", "PromoteCanary", "StopCanary", "SetLogLevel", "SetLogLevel")
PATHS = ("", ".", "..", "../..", "/", "/etc/passwd", "~", "a/b/../../..", "qdts-22m", "a" * 5_000, "a/" * 5_000, "a\0b")
MESSAGES = st.one_of(
    st.builds(pb.SwapModelRequest, model=st.one_of(st.sampled_from(PATHS), TEXTS)),
    st.builds(pb.SetLogLevelRequest, level=ENUMS),
    st.just(pb.GetStatusRequest()),
)
# Fewer than the port takes at once: it goes on for a while with those that are given up.
WIDTH = 16
# Of calls; the others have a wrong one or none.
RIGHT_SHARE = 0.6
CHANGED_SHARE = 0.6
# All that a call may get without a good token. Its message may be too large for the port before that is known.
REFUSALS = frozenset(
    {"UNAUTHENTICATED", "DEADLINE_EXCEEDED", "CANCELLED", "RESOURCE_EXHAUSTED", "UNAVAILABLE", REFUSED}
)
LAST_WORD_S = 10.0


async def fuzz_operators(
    findings: Findings, corpus: Sequence[bytes], port: int, *, token: str, seed: int, seconds: float
) -> None:
    """A server that operators with `token` may call at this port, and that must be ready at the end."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        calls = {name: channel.unary_stream(SERVICE + name) for name in METHODS}

        async def send(method: str, data: bytes, rng: random.Random) -> str:
            headers = choose_headers(rng, token)
            call = calls[method](data, timeout=rng.choice(TIMEOUTS_S), metadata=tuple(headers.items()))
            code = await ended(call, rng)
            if headers != right_headers(token) and code not in REFUSALS:
                findings.crashes.append(f"{method}: {code} without a good token")
            return code

        await flood(partial(make_call, corpus=corpus), send, findings, seed=seed, seconds=seconds, width=WIDTH)
        state = await _state(channel, token)
    note_unreachable(findings)
    if state != "SERVER_STATE_READY":
        findings.crashes.append(f"the server is not ready any more: {state}")


def make_call(rng: random.Random, corpus: Sequence[bytes]) -> tuple[str, bytes]:
    """Any message for any method."""
    data = make_message(rng, corpus)
    return rng.choice(METHODS), data


def make_message(rng: random.Random, corpus: Sequence[bytes]) -> bytes:
    """One of the corpus, whole or changed as bytes."""
    data = rng.choice(corpus)
    return change_bytes(rng, data, corpus) if rng.random() < CHANGED_SHARE else data


def right_headers(token: str) -> dict[str, str]:
    """Those that let a caller in."""
    return {"authorization": f"Bearer {token}"}


def choose_headers(rng: random.Random, token: str) -> dict[str, str]:
    """The right ones, or some that let nobody in."""
    if rng.random() < RIGHT_SHARE:
        return right_headers(token)
    wrong = (None, "", "Bearer", token, f"Basic {token}", f"Bearer {token[:-1]}", f"Bearer {token}x", "Bearer  ~, ;=")
    value = rng.choice(wrong)
    return {} if value is None else {"authorization": value}


def opening(token: str) -> bytes:
    """How a connection begins that asks for the status."""
    return opening_of(SERVICE + "GetStatus", right_headers(token))


async def _state(channel: grpc.aio.Channel, token: str) -> str:
    """What the server says of itself, or why it says nothing."""
    ask: Any = channel.unary_unary(
        SERVICE + "GetStatus",
        request_serializer=pb.GetStatusRequest.SerializeToString,
        response_deserializer=pb.GetStatusResponse.FromString,
    )
    try:
        metadata = tuple(right_headers(token).items())
        status = await ask(pb.GetStatusRequest(), timeout=LAST_WORD_S, metadata=metadata)
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return pb.ServerState.Name(status.state)
