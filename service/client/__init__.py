"""A typed client of the service: no proto message and no gRPC error reaches its caller.

sync.py       Client, for threads
aio.py        AsyncClient, for asyncio
config.py     where the server is, how to reach it, how long to wait
messages.py   the requests and replies as dataclasses, and their proto forms
retry.py      when to try again: budget, backoff, pushback
throttle.py   what is not sent because the server refuses most of it; off by default
operator.py   the operators' RPCs
faults.py     gRPC errors as the classes of qdts.errors

    with Client("localhost:50051") as client:
        reply = client.summarize("who wrote it?", "The letter was written by Ada Lovelace in 1843.")
        print(reply.summary, reply.rung)
"""

from qdts.service.client.aio import AsyncClient
from qdts.service.client.config import ClientConfig
from qdts.service.client.messages import Reply, Request, ServerInfo
from qdts.service.client.retry import RetryPolicy
from qdts.service.client.sync import Client

__all__ = ["AsyncClient", "Client", "ClientConfig", "Reply", "Request", "RetryPolicy", "ServerInfo"]
