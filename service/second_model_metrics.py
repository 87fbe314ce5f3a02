"""What is counted of models beside the one that answers: shadow and canary. Labels come from fixed sets only."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from qdts.service.comparison import Comparison
from qdts.service.histograms import RATIOS, seconds_histogram

_SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)


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
        self._lengths = Histogram(
            "qdts_second_length_ratio",
            "Length of a second model's answer over that of the first's.",
            ["model"],
            buckets=RATIOS,
            registry=r,
        )
        self._overlaps = Histogram(
            "qdts_second_source_overlap",
            "Of what either model quotes of the document, the share that both do.",
            ["model"],
            buckets=_SHARES,
            registry=r,
        )
        self._share = Gauge("qdts_canary_share", "Of the requests that the canary answers.", registry=r)

    def count_shadow(self, comparison: Comparison) -> None:
        """The shadow model was asked what the other had answered."""
        self._shadow.labels(comparison.outcome).inc()
        self._observe("shadow", comparison)

    def observe_model(self, model: str, outcome: str, seconds: float) -> None:
        """The "canary" or the "stable" model has answered, well or not."""
        self._models.labels(model, outcome).inc()
        self._latency.labels(model).observe(seconds)

    def count_agreement(self, comparison: Comparison) -> None:
        """The canary was asked what the stable model had answered."""
        self._agreement.labels(comparison.outcome).inc()
        self._observe("canary", comparison)

    def set_canary_share(self, share: float) -> None:
        """So much goes to the canary now."""
        self._share.set(share)

    def _observe(self, model: str, comparison: Comparison) -> None:
        if comparison.length_ratio is not None and comparison.source_overlap is not None:
            self._lengths.labels(model).observe(comparison.length_ratio)
            self._overlaps.labels(model).observe(comparison.source_overlap)
