"""What the server counts: names and buckets in one list, in a registry of its own.

Labels come from fixed sets only (methods, status codes, enum names), never from requests.
"""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from qdts.service.admission_metrics import AdmissionMetrics
from qdts.service.cache_metrics import CacheMetrics
from qdts.service.histograms import seconds_histogram
from qdts.service.reply import CacheStatus, Reply
from qdts.service.request import Priority
from qdts.service.second_model_metrics import SecondModelMetrics

_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
_GAINS = (1, 1.5, 2, 3, 4, 6, 8, 12, 16, 32)


class Metrics:
    """The list. Safe between threads."""

    def __init__(self) -> None:
        self.registry = r = CollectorRegistry()
        self._calls = Counter("qdts_calls", "Calls by method and status code.", ["method", "code"], registry=r)
        self._latency = seconds_histogram(
            "qdts_call_seconds", "From a call's arrival to its end.", r, ["method", "code"]
        )
        self._queue = seconds_histogram("qdts_queue_seconds", "Waiting for the model.", r)
        self._encode = seconds_histogram("qdts_encode_seconds", "Reading: the encoder.", r)
        self._decode = seconds_histogram("qdts_decode_seconds", "Writing: the decoder.", r)
        self._rungs = Counter(
            "qdts_replies", "Replies by rung of the ladder and class.", ["rung", "priority"], registry=r
        )
        self._reasons = Counter(
            "qdts_degraded", "Degraded replies by reason and class.", ["reason", "priority"], registry=r
        )
        self._cache = Counter("qdts_cache", "Replies by what the cache did.", ["status"], registry=r)
        self._tokens = Counter("qdts_tokens", "Tokens read and written by the model.", ["direction"], registry=r)
        self._steps = Counter("qdts_decode_steps", "Steps of the decoder, for each summary in them.", registry=r)
        self._classes = Counter(
            "qdts_requests", "Requests by class and what became of them.", ["priority", "outcome"], registry=r
        )
        self._waits = seconds_histogram(
            "qdts_queue_delay_seconds", "In the model's queue, those turned away included.", r
        )
        self._slo = Counter("qdts_slo", "Requests answered by their deadline, or not.", ["outcome"], registry=r)
        self._batch = Histogram(
            "qdts_batch_size", "Sequences being written when some have joined.", buckets=_SIZES, registry=r
        )
        self._accepted = Histogram(
            "qdts_tokens_per_step", "Tokens written per pass of the decoder, by summary.", buckets=_GAINS, registry=r
        )
        self._peers = Counter("qdts_peer_refusals", "Calls of peers that had as many running as one may.", registry=r)
        self._crowd = Counter("qdts_call_refusals", "Calls on top of those that may run, all together.", registry=r)
        self._wasted = Counter("qdts_wasted_steps", "Of these, those for summaries that nobody got.", registry=r)
        self._restarts = Counter("qdts_engine_restarts", "Attempts to start an engine that died.", registry=r)
        self._waiting = Gauge("qdts_queue_length", "Requests waiting for the model.", registry=r)
        self.admission = AdmissionMetrics(r)
        self.cache = CacheMetrics(r)
        self.second_models = SecondModelMetrics(r)
        self._ready = Gauge("qdts_ready", "1 while the server is warmed up and not draining.", registry=r)

    def observe_call(self, method: str, code: str, seconds: float) -> None:
        """A call has ended."""
        self._calls.labels(method, code).inc()
        self._latency.labels(method, code).observe(seconds)

    def observe_reply(self, reply: Reply, priority: Priority) -> None:
        """A reply has been made, or found, for a request of this class."""
        self._rungs.labels(reply.rung.name.lower(), priority.name.lower()).inc()
        self._cache.labels(reply.cache_status.name.lower()).inc()
        for reason in reply.reasons:
            self._reasons.labels(reason.name.lower(), priority.name.lower()).inc()
        if reply.model_version and reply.cache_status in (CacheStatus.MISS, CacheStatus.BYPASS):
            self._observe_model(reply)

    def observe_slo(self, priority: Priority, *, is_met: bool) -> None:
        """A request has been answered by its deadline, or not."""
        outcome = "met" if is_met else "missed"
        self._slo.labels(outcome).inc()
        self._classes.labels(priority.name.lower(), outcome).inc()

    def count_unseen(self) -> None:
        """A call has been refused before its requests were looked at: none of them was answered."""
        self._slo.labels("missed").inc()

    def observe_wait(self, seconds: float) -> None:
        """A job has left the model's queue, for a place or for good."""
        self._waits.observe(seconds)

    def observe_batch(self, size: int) -> None:
        """Sequences have joined; so many are being written now."""
        self._batch.observe(size)

    def count_steps(self, num_steps: int) -> None:
        """A step is being taken for so many summaries."""
        self._steps.inc(num_steps)

    def count_waste(self, num_steps: int) -> None:
        """So many of the steps were for a summary that nobody gets."""
        self._wasted.inc(num_steps)

    def count_call_refusal(self, *, is_peers: bool) -> None:
        """A peer, or all together, have asked for more calls at once than may run."""
        (self._peers if is_peers else self._crowd).inc()

    def count_restart(self) -> None:
        """An engine that died is being started again."""
        self._restarts.inc()

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
        if reply.summary.num_steps:
            self._accepted.observe(reply.summary.num_output_tokens / reply.summary.num_steps)
