"""Two servers as processes, one after the other replaced under load: no call fails, though no client tries twice."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import grpc

from qdts.v1 import summarization_pb2 as pb
from qdts.v1 import summarization_pb2_grpc as pb_grpc

PROGRAM = (
    "import os, sys; from qdts.service import main, config; sys.exit(main.run(config.load_config(None, os.environ)))"
)
SERVICE = "qdts.v1.SummarizationService"
# Round robin over the servers whose health says "serving", and each call is sent once.
ROUND_ROBIN = {"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": SERVICE}}
NUM_CLIENTS = 4
# Clients that have been turned away look again so soon and, later, so often.
LOOK_AGAIN_MS = {
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.min_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 500,
}


class Server:
    """One of the two, at a port that stays its own."""

    def __init__(self, port: int = 0) -> None:
        settings = {"SERVER__PORT": port, "METRICS__ENABLED": 0, "ENGINE__MODEL": "none"}
        env = {f"QDTS_{name}": str(value) for name, value in settings.items()}
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], env=os.environ | env, stderr=subprocess.PIPE, text=True
        )
        self._reading = threading.Thread(target=self._read)
        self.num_answered = 0

    def wait_until_ready(self) -> None:
        assert self.process.stderr is not None
        self.port: int = next(json.loads(line)["port"] for line in self.process.stderr if '"ready"' in line)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.num_answered += '"event": "call"' in line and '"code": "OK"' in line

    def wait_for_calls(self, timeout_s: float = 120) -> None:
        """Until one was answered; whether any was is asserted at the end."""
        ends_at = time.monotonic() + timeout_s
        while not self.num_answered and time.monotonic() < ends_at:
            time.sleep(0.05)

    def tell_to_stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def stopped(self) -> int:
        self.process.wait(timeout=60)
        self._reading.join()
        assert self.process.stderr is not None
        self.process.stderr.close()
        return self.process.returncode


class Clients:
    """Each with a channel of its own over both servers; they ask from their making to stop()."""

    def __init__(self, ports: list[int]) -> None:
        self.faults: list[str] = []
        self.num_answered = 0
        self._target = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(name,)) for name in range(NUM_CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _ask(self, name: int) -> None:
        options = [("grpc.service_config", json.dumps(ROUND_ROBIN)), ("grpc.enable_retries", 0), *LOOK_AGAIN_MS.items()]
        with grpc.insecure_channel(self._target, options=options) as channel:
            stub: Any = pb_grpc.SummarizationServiceStub(channel)
            number = 0
            while not self._end.is_set():
                number += 1
                text = f"Client {name} sends call {number}. More is not said."
                request = pb.SummarizeRequest(query="Which call?", document=pb.Document(text=text))
                try:
                    assert stub.Summarize(request, timeout=60).summary
                    self.num_answered += 1
                except grpc.RpcError as error:
                    self.faults.append(str(error))
                time.sleep(0.002)

    def stop(self) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()


def test_rolling_restart_fails_no_call() -> None:
    servers = [Server(), Server()]
    for server in servers:
        server.wait_until_ready()
    clients = Clients([server.port for server in servers])
    try:
        for server in servers:
            server.wait_for_calls()
        for place in (0, 1):
            servers[place].tell_to_stop()
            assert servers[place].stopped() == 0
            assert servers[place].num_answered > 0
            servers[place] = Server(servers[place].port)
            servers[place].wait_until_ready()
            servers[place].wait_for_calls()
    finally:
        clients.stop()
        for server in servers:
            server.tell_to_stop()
        codes = [server.stopped() for server in servers]
    assert codes == [0, 0]
    assert clients.faults == []
    assert clients.num_answered >= NUM_CLIENTS
    assert all(server.num_answered > 0 for server in servers)  # calls did come back to each
