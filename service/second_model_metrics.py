"""What is counted of models beside the one that answers: shadow and canary. Labels come from fixed sets only."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from qdts.service.histograms import seconds_histogram


class SecondModelMetrics:
    """The list. Safe between threads."""

    def __init__(self, registry: CollectorRegistry) -> None:
        r = registry
        self._shadow = Counter(
            "qdts_shadow", "Answers of the shadow model beside those given.", ["outcome"], registry=r
        )
        self._models = Counter(
            "qdts_model_answers",
            "While a canary answers: of which model, and what became of them.",
            ["model", "outcome"],
            registry=r,
        )
        self._latency = seconds_histogram("qdts_model_seconds", "What these took.", r, ["model"])
        self._agreement = Counter(
            "qdts_canary_agreement", "Answers of the canary beside those of the stable model.", ["outcome"], registry=r
        )
        self._share = Gauge("qdts_canary_share", "Of the requests that the canary answers.", registry=r)

    def count_shadow(self, outcome: str) -> None:
        """The shadow model wrote the "same", something "different", or "failed"."""
        self._shadow.labels(outcome).inc()

    def observe_model(self, model: str, outcome: str, seconds: float) -> None:
        """The "canary" or the "stable" model has answered, well or not."""
        self._models.labels(model, outcome).inc()
        self._latency.labels(model).observe(seconds)

    def count_agreement(self, outcome: str) -> None:
        """The canary wrote the "same" as the stable model, something "different", or "failed"."""
        self._agreement.labels(outcome).inc()

    def set_canary_share(self, share: float) -> None:
        """So much goes to the canary now."""
        self._share.set(share)
