"""Asks a server for its health at a steady pace, from a thread, and notes how long each answer took."""

import threading
import time
from types import TracebackType
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

# Often enough to see a stall, seldom enough not to be the load.
EVERY_S = 0.02
TIMEOUT_S = 5.0


class HealthWatch:
    """From entry to exit. A check that fails or is not SERVING counts with TIMEOUT_S, and in `num_bad`."""

    def __init__(self, url: str) -> None:
        self.took_s: list[float] = []
        self.num_bad = 0
        self._url = url
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="health-watch", daemon=True)

    def __enter__(self) -> "HealthWatch":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        with grpc.insecure_channel(self._url) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            while not self._over.wait(EVERY_S):
                started = time.monotonic()
                is_good = _is_serving(stub)
                self.num_bad += not is_good
                self.took_s.append(time.monotonic() - started if is_good else TIMEOUT_S)


def _is_serving(stub: Any) -> bool:
    try:
        reply = stub.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
    except grpc.RpcError:
        return False
    return reply.status == health_pb2.HealthCheckResponse.SERVING
