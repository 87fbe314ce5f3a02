"""Requests in, replies out: the only layer that knows gRPC, HTTP and Redis.

application.py    composition root: builds everything and wires it; main.py runs it
building.py       load -> engine -> ladder, for whoever answers; loading.py, warm_up.py
config.py         the one place that reads TOML, environment and flags; limits.py, the bounds on requests
server.py         grpc.aio, reflection, drain; health.py, grpc.health.v1; sturdy_server.py, what grpc.aio lacks
transport.py      bounds on messages, connections and peers; tls.py, certificates
callers.py        who may call, and who pays: auth.py, tokens; tenants.py; peers.py
interceptors.py   token, request id, parsing, metrics, one log line per call; errors.py, error -> status
call_context.py   what handlers see of a call; tracing.py, its spans; otel.py, the same over OpenTelemetry
admin.py          the operators' port: metrics, readiness, liveness; heartbeat.py, what stands still; garbage.py, pauses
admin_server.py   the operators' RPCs: admin_servicer.py, admin_status.py, admin_config.py
hosting.py        which model answers: swap, restart; serving.py, one model's time in service; watched.py, its calls
canary.py         a new model that answers some; canary_hosting.py, its model
shadow.py         a second model, asked again and only counted; shadow_hosting.py, its model;
                  comparison.py, how two answers compare
servicer.py       the RPCs: validation.py reads proto -> request.py, response.py writes reply.py -> proto
text_stream.py    text that grows, for StreamSummarize
answering.py      cache -> single flight -> ladder; single_flight.py, deadline.py
cache.py          entries, their lives, their keys, the level in this process; cache_levels.py, that and the shared one;
                  caches.py, both from the settings; revalidation.py, making anew what still answers
redis/            the level that processes share
ladder.py         the best rung that time and capacity allow; extraction.py needs no model
admission.py      which rung to begin with: costs.py and places.py predict, pressure.py and concurrency.py correct
learned.py        what admission has learned, whichever model answers
quotas.py         what each tenant may use; admission_config.py, how load is met; retry_after.py, when to come back
engine.py         the model's thread: admit -> schedule -> step -> reply; scheduler.py, its bounded queue; codel.py;
                  second_tries.py, those whose batch failed
generative.py     what the engine asks of a model
slo.py            which requests count as answered in time, as missed, or not at all
metrics.py        names and buckets in one list: admission_metrics.py, cache_metrics.py, second_model_metrics.py;
                  histograms.py, what they share
logs.py           JSON logs without user text; log_stream.py, where they go, and that nobody waits for that
client/           the typed client, sync and async
cli.py            the command `qdts`; commands/, its subcommands; local.py, the same answers without a server
"""
