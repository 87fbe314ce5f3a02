"""How load is met: who may wait, for how long, and when everybody gets less. docs/operations.md explains the rules."""

from dataclasses import dataclass

from qdts.errors import ConfigError
from qdts.service.limits import require_between
from qdts.service.request import Priority


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionConfig:
    """Shares lie between 0 and 1. What a caller's time is: from its request's admission to its deadline."""

    # Requests whose replies are being made at once, waiting for another process to make them included; those on top
    # are refused. Who is answered from the cache, or by the reply to an identical request, is not counted.
    max_requests: int = 1024
    # Tokens of all documents in the model's queue, beside engine.max_queue.
    max_queue_tokens: int = 131_072
    # Extracts being made or waiting for a thread; those on top get the document's beginning.
    max_extracts: int = 64
    # What the lower classes get of the model however many interactive requests wait.
    prefetch_share: float = 0.15
    bulk_share: float = 0.05
    # Nobody is overtaken by requests that come so much later, however near their deadlines.
    patience_ms: float = 5_000.0
    # The share of past times that a prediction exceeds.
    quantile: float = 0.9
    # A wait of up to so much, or so much of the caller's time, is no sign of overload, if it is more.
    queue_target_ms: float = 20.0
    queue_target_share: float = 0.2
    # Waits that stay above the target for so long are.
    queue_interval_ms: float = 250.0
    # Latency in the model, as a multiple of that without load, above which fewer are let in at once.
    limit_tolerance: float = 3.0
    # How long the load must have been high, or low, before the best rung on offer changes.
    degrade_after_ms: float = 250.0
    recover_after_ms: float = 1_000.0
    # Words of a shorter output, as a share of those asked for.
    shorter_share: float = 0.5
    # Requests that are answered from a lower rung to keep it in use.
    canary_share: float = 0.002

    def __post_init__(self) -> None:
        require_between("admission.max_requests", self.max_requests, 1, 1_000_000)
        require_between("admission.max_queue_tokens", self.max_queue_tokens, 1, 1 << 40)
        require_between("admission.max_extracts", self.max_extracts, 1, 1_000_000)
        require_between("admission.patience_ms", self.patience_ms, 0, 3_600_000)
        require_between("admission.quantile", self.quantile, 0.5, 1)
        require_between("admission.queue_target_ms", self.queue_target_ms, 1, 60_000)
        require_between("admission.queue_target_share", self.queue_target_share, 0, 0.5)
        require_between("admission.queue_interval_ms", self.queue_interval_ms, 1, 60_000)
        require_between("admission.limit_tolerance", self.limit_tolerance, 1, 1_000)
        require_between("admission.degrade_after_ms", self.degrade_after_ms, 0, 60_000)
        require_between("admission.recover_after_ms", self.recover_after_ms, 0, 600_000)
        require_between("admission.shorter_share", self.shorter_share, 0.1, 1)
        require_between("admission.canary_share", self.canary_share, 0, 0.1)
        for name in ("prefetch_share", "bulk_share"):
            require_between(f"admission.{name}", getattr(self, name), 0, 1)
        if self.prefetch_share + self.bulk_share > 0.5:
            raise ConfigError("admission.prefetch_share + admission.bulk_share: must be at most 0.5 together")

    def share(self, priority: Priority) -> float:
        """What is reserved for a class."""
        if priority is Priority.PREFETCH:
            return self.prefetch_share
        if priority is Priority.BULK:
            return self.bulk_share
        return 1 - self.prefetch_share - self.bulk_share

    def queue_target_s(self, budget_s: float) -> float:
        """The longest wait, for a caller with so much time, that is no sign of overload."""
        return max(self.queue_target_ms / 1000, self.queue_target_share * budget_s)
