"""Requests in, replies out: the only layer that knows gRPC, HTTP and Redis.

main.py          composition root: builds everything, wires it, runs it
config.py        the one place that reads TOML, environment and flags
limits.py        the bounds on requests
errors.py        error -> gRPC status
request.py       what a caller asks, validated        reply.py      what it gets
validation.py    proto -> request                     servicer.py   proto <-> domain, nothing else
interceptors.py  request id, parsing, status mapping, metrics, one log line per call
answering.py     cache -> single flight -> ladder
cache.py         replies by keyed hash                single_flight.py  one work for identical callers
ladder.py        the best rung that time and capacity allow; costs.py predicts, extraction.py needs no model
scheduler.py     the bounded queue                    engine.py     admit -> schedule -> step -> reply
server.py        grpc.aio, reflection, drain          health.py     grpc.health.v1
metrics.py       names and buckets in one list        logs.py       JSON logs without user text
"""
