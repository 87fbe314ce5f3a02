"""What the server counts: names and buckets in one list, in a registry of its own.

Labels come from fixed sets only (methods, status codes, enum names), never from requests.
"""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from qdts.service.cache_metrics import CacheMetrics
from qdts.service.reply import CacheStatus, Reply, Rung
from qdts.service.request import Priority

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The list. Safe between threads."""

    def __init__(self) -> None:
        self.registry = r = CollectorRegistry()
        self._calls = Counter("qdts_calls", "Calls by method and status code.", ["method", "code"], registry=r)
        self._latency = _seconds("qdts_call_seconds", "From a call's arrival to its end.", r, ["method", "code"])
        self._queue = _seconds("qdts_queue_seconds", "Waiting for the model.", r)
        self._encode = _seconds("qdts_encode_seconds", "Reading: the encoder.", r)
        self._decode = _seconds("qdts_decode_seconds", "Writing: the decoder.", r)
        self._rungs = Counter("qdts_replies", "Replies by rung of the ladder.", ["rung"], registry=r)
        self._reasons = Counter("qdts_degraded", "Degraded replies by reason.", ["reason"], registry=r)
        self._cache = Counter("qdts_cache", "Replies by what the cache did.", ["status"], registry=r)
        self._tokens = Counter("qdts_tokens", "Tokens read and written by the model.", ["direction"], registry=r)
        self._steps = Counter("qdts_decode_steps", "Passes of the decoder.", registry=r)
        self._shed = Counter("qdts_shed", "Requests refused, by class and bound.", ["priority", "bound"], registry=r)
        self._classes = Counter(
            "qdts_requests", "Requests by class and what became of them.", ["priority", "outcome"], registry=r
        )
        self._prediction = Histogram(
            "qdts_prediction_ratio",
            "What a rung of the model took over what was predicted, the wait left aside.",
            ["rung"],
            buckets=(0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 4.0),
            registry=r,
        )
        self._waits = _seconds("qdts_queue_delay_seconds", "In the model's queue, those turned away included.", r)
        self._pressure = Gauge("qdts_pressure", "Rungs not on offer for want of capacity.", ["priority"], registry=r)
        self._levels: dict[Priority, int] = {}
        self._changes = Counter(
            "qdts_pressure_changes", "Changes of the best rung on offer, by class.", ["priority"], registry=r
        )
        self._limit = Gauge("qdts_concurrency_limit", "Requests that may be in the model at once.", registry=r)
        self._slo = Counter("qdts_slo", "Requests answered by their deadline, or not.", ["outcome"], registry=r)
        self._batch = Histogram(
            "qdts_batch_size",
            "Sequences being written when some have joined.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128),
            registry=r,
        )
        self._accepted = Histogram(
            "qdts_tokens_per_step",
            "Tokens written per pass of the decoder, by summary.",
            buckets=(1, 1.5, 2, 3, 4, 6, 8, 12, 16, 32),
            registry=r,
        )
        self._peers = Counter("qdts_peer_refusals", "Calls of peers that had as many running as one may.", registry=r)
        self._wasted = Counter("qdts_wasted_steps", "Steps for summaries that were given up unfinished.", registry=r)
        self._restarts = Counter("qdts_engine_restarts", "Attempts to start an engine that died.", registry=r)
        self._shadow = Counter(
            "qdts_shadow", "Answers of the shadow model beside those given.", ["outcome"], registry=r
        )
        self._models = Counter(
            "qdts_model_answers",
            "While a canary answers: of which model, and what became of them.",
            ["model", "outcome"],
            registry=r,
        )
        self._model_latency = _seconds("qdts_model_seconds", "What these took.", r, ["model"])
        self._agreement = Counter(
            "qdts_canary_agreement", "Answers of the canary beside those of the stable model.", ["outcome"], registry=r
        )
        self._canary_share = Gauge("qdts_canary_share", "Of the requests that the canary answers.", registry=r)
        self._waiting = Gauge("qdts_queue_length", "Requests waiting for the model.", registry=r)
        self.cache = CacheMetrics(r)
        self._ready = Gauge("qdts_ready", "1 while the server is warmed up and not draining.", registry=r)

    def observe_call(self, method: str, code: str, seconds: float) -> None:
        """A call has ended."""
        self._calls.labels(method, code).inc()
        self._latency.labels(method, code).observe(seconds)

    def observe_reply(self, reply: Reply) -> None:
        """A reply has been made, or found."""
        self._rungs.labels(reply.rung.name.lower()).inc()
        self._cache.labels(reply.cache_status.name.lower()).inc()
        for reason in reply.reasons:
            self._reasons.labels(reason.name.lower()).inc()
        if reply.model_version and reply.cache_status in (CacheStatus.MISS, CacheStatus.BYPASS):
            self._observe_model(reply)

    def observe_slo(self, priority: Priority, *, is_met: bool) -> None:
        """A request has been answered by its deadline, or not."""
        outcome = "met" if is_met else "missed"
        self._slo.labels(outcome).inc()
        self._classes.labels(priority.name.lower(), outcome).inc()

    def observe_shed(self, priority: Priority, bound: str) -> None:
        """A request has been refused, for a bound on "requests" or on a tenant's "quota"."""
        self._shed.labels(priority.name.lower(), bound).inc()

    def observe_prediction(self, rung: Rung, ratio: float) -> None:
        """A rung of the model took so much of what was predicted."""
        self._prediction.labels(rung.name.lower()).observe(ratio)

    def observe_wait(self, seconds: float) -> None:
        """A job has left the model's queue, for a place or for good."""
        self._waits.observe(seconds)

    def observe_pressure(self, priority: Priority, level: int) -> None:
        """So many rungs are not on offer for this class."""
        name = priority.name.lower()
        self._pressure.labels(name).set(level)
        if level != self._levels.get(priority, 0):
            self._changes.labels(name).inc()
        self._levels[priority] = level

    def watch_limit(self, limit: Callable[[], int]) -> None:
        """Where to read the concurrency limit from."""
        self._limit.set_function(limit)

    def observe_batch(self, size: int) -> None:
        """Sequences have joined; so many are being written now."""
        self._batch.observe(size)

    def count_waste(self, num_steps: int) -> None:
        """So many steps were taken for a summary that nobody gets."""
        self._wasted.inc(num_steps)

    def count_peer_refusal(self) -> None:
        """A peer has asked for more calls at once than it may have."""
        self._peers.inc()

    def count_restart(self) -> None:
        """An engine that died is being started again."""
        self._restarts.inc()

    def count_shadow(self, outcome: str) -> None:
        """The shadow model wrote the "same", something "different", or "failed"."""
        self._shadow.labels(outcome).inc()

    def observe_model(self, model: str, outcome: str, seconds: float) -> None:
        """The "canary" or the "stable" model has answered, well or not."""
        self._models.labels(model, outcome).inc()
        self._model_latency.labels(model).observe(seconds)

    def count_agreement(self, outcome: str) -> None:
        """The canary wrote the "same" as the stable model, something "different", or "failed"."""
        self._agreement.labels(outcome).inc()

    def set_canary_share(self, share: float) -> None:
        """So much goes to the canary now."""
        self._canary_share.set(share)

    def watch_queue(self, length: Callable[[], int]) -> None:
        """Where to read the queue's length from."""
        self._waiting.set_function(length)

    def set_ready(self, is_ready: bool) -> None:
        """Whether the server is ready."""
        self._ready.set(is_ready)

    def value(self, name: str, **labels: str) -> float:
        """The current value of a sample, 0 if there is none yet."""
        return self.registry.get_sample_value(name, labels) or 0.0

    def _observe_model(self, reply: Reply) -> None:
        self._queue.observe(reply.timings.queue_ms / 1000)
        self._encode.observe(reply.timings.encode_ms / 1000)
        self._decode.observe(reply.timings.decode_ms / 1000)
        self._tokens.labels("in").inc(reply.summary.num_input_tokens)
        self._tokens.labels("out").inc(reply.summary.num_output_tokens)
        self._steps.inc(reply.summary.num_steps)
        if reply.summary.num_steps:
            self._accepted.observe(reply.summary.num_output_tokens / reply.summary.num_steps)


def _seconds(name: str, text: str, registry: CollectorRegistry, labels: list[str] | None = None) -> Histogram:
    return Histogram(name, text, labels or [], buckets=_SECONDS, registry=registry)
