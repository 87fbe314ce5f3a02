"""Wait until a server's health is SERVING. Usage: wait_serving.py HOST:PORT SECONDS"""

import sys
import time

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc


def is_serving(stub: health_pb2_grpc.HealthStub) -> bool:
    """One question, one second."""
    try:
        reply = stub.Check(health_pb2.HealthCheckRequest(), timeout=1)
    except grpc.RpcError:
        return False
    return reply.status == health_pb2.HealthCheckResponse.SERVING


def main(url: str, seconds: str) -> int:
    """0 once it serves, 1 if it does not in time."""
    deadline = time.monotonic() + float(seconds)
    with grpc.insecure_channel(url, (("grpc.enable_http_proxy", 0),)) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        while time.monotonic() < deadline:
            if is_serving(stub):
                return 0
            time.sleep(0.05)
    print(f"{url} is not serving after {seconds} s", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
