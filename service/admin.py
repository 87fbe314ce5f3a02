"""The operators' port, HTTP in threads of its own: /metrics, /readyz and /livez. Never waits for the event loop.

/readyz   200 while calls should be sent here, else 503 and the server's state
/livez    200, or 503 and what is stuck: then only a new process helps
"""

from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from threading import Thread
from typing import Any, Protocol
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from qdts.service.health import State

# A peer that says nothing for so long is dropped.
READ_TIMEOUT_S = 5.0

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class HasRegistry(Protocol):
    """What counts."""

    @property
    def registry(self) -> CollectorRegistry: ...


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: whoever asked has gone."""


class _Handler(WSGIRequestHandler):
    timeout = READ_TIMEOUT_S

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: probes come every few seconds."""


class AdminEndpoint:
    """Answers from its making to close(). OSError where it cannot listen."""

    def __init__(
        self,
        metrics: HasRegistry,
        *,
        host: str,
        port: int,
        state: Callable[[], State],
        problem: Callable[[], str | None],
        status: Callable[[], str | None] | None = None,
    ) -> None:
        """With `status` there is /status, too: JSON, or 503 where that gives none."""
        self._state, self._problem, self._status = state, problem, status
        self._metrics: Callable[..., Iterable[bytes]] = make_wsgi_app(metrics.registry)
        self._server = make_server(host, port, self._answer, _Server, _Handler)
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.server_port

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/metrics":
                return self._metrics(environ, start)
            case "/readyz":
                state = self._state()
                return _say(start, "200 OK" if state is State.READY else "503 Service Unavailable", state.value)
            case "/livez":
                problem = self._problem()
                return _say(start, "503 Service Unavailable" if problem else "200 OK", problem or "alive")
            case "/status" if self._status is not None:
                status = self._status()
                return _say(start, "200 OK" if status else "503 Service Unavailable", status or "no answer in time")
            case _:
                return _say(start, "404 Not Found", "/metrics, /readyz, /livez")


def _say(start: StartResponse, status: str, text: str) -> Iterable[bytes]:
    start(status, [("Content-Type", "text/plain; charset=utf-8")])
    return [f"{text}\n".encode()]
