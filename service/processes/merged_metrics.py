"""The samples of all processes as one list, each with the label `process`. Sums over it are those of the server.

A counter stays its process's own: it begins at 0 where that was started again, as a rate expects.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from prometheus_client import CollectorRegistry, Counter, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from qdts.service.processes.probe import ask

# Names of processes and their operators' ports; None where one is away.
Processes = Callable[[], Sequence[tuple[str, int | None]]]


class MergedMetrics:
    """What the supervisor's /metrics says: of itself, and of those it supervises."""

    def __init__(self, processes: Processes) -> None:
        self.registry = CollectorRegistry()
        self._restarts = Counter(
            "qdts_process_restarts", "Attempts to start a process that ended.", ["process"], registry=self.registry
        )
        self._children = _OfChildren(processes)
        self.registry.register(self._children)

    def count_restart(self, process: str) -> None:
        """A process that ended is being started again."""
        self._restarts.labels(process).inc()

    def add(self, process: str, samples: Collector) -> None:
        """Samples that are counted in this process, by this name."""
        self._children.own[process] = samples


class _OfChildren(Collector):
    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self.own: dict[str, Collector] = {}

    def describe(self) -> Iterable[Metric]:
        return ()  # known when asked

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily("qdts_process_up", "1 while the process says its metrics.", labels=["process"])
        families: dict[str, Metric] = {"qdts_process_up": up}
        for process, text in self._texts():
            up.add_metric([process], 0 if text is None else 1)
            _merge(families, process, text or "")
        for process, samples in self.own.items():
            _merge(families, process, generate_latest(samples).decode())
        return families.values()

    def _texts(self) -> list[tuple[str, str | None]]:
        """What each says, all asked at once."""
        processes = self._processes()
        if not processes:
            return []
        with ThreadPoolExecutor(len(processes)) as pool:
            answers = pool.map(lambda process: _metrics(process[1]), processes)
            return [(name, text) for (name, _), text in zip(processes, answers, strict=True)]


def _metrics(port: int | None) -> str | None:
    said = None if port is None else ask(port, "/metrics")
    return said.text + "\n" if said is not None and said.status == 200 else None


def _merge(families: dict[str, Metric], process: str, text: str) -> None:
    for family in text_string_to_metric_families(text):
        merged = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
        for sample in family.samples:
            merged.add_sample(sample.name, {**sample.labels, "process": process}, sample.value)
