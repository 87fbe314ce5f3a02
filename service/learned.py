"""What admission has learned, and who is inside: the server's own, whichever model answers.

A model that takes another's place, or its own again after its engine died, begins with it. Under load there is no time
to find out anew: until the costs are known too much is let in, and what is let in comes too late.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable

from qdts.service.admission_config import AdmissionConfig
from qdts.service.concurrency import ConcurrencyLimit
from qdts.service.costs import CostTable
from qdts.service.pressure import Pressure
from qdts.service.reply import Rung
from qdts.service.request import Priority

# Tables of models that came before are kept for when one comes back.
MAX_TABLES = 4
# Made without a model: what they take has nothing to do with which one it is.
WITHOUT_MODEL = (Rung.EXTRACTIVE, Rung.LEAD)


class Learned:
    """One event loop's. `least` and `most` bound the concurrency limit."""

    def __init__(self, config: AdmissionConfig, *, least: int, most: int) -> None:
        self._config = config
        self._bounds = (least, most)
        self._answering: str | None = None
        self._tables: OrderedDict[str, CostTable] = OrderedDict()
        self.inside: Counter[Priority] = Counter()
        after = {"degrade_after_s": config.degrade_after_ms / 1000, "recover_after_s": config.recover_after_ms / 1000}
        self.pressures = {priority: Pressure(**after) for priority in Priority}
        self.limit = ConcurrencyLimit(least=least, most=most)
        self.canaries_due, self.num_canaries = 0.0, 0

    @classmethod
    def of_engine(cls, config: AdmissionConfig, *, num_places: int, max_queue: int) -> "Learned":
        """For engines of so many places: they are filled, and one more waits, whatever the limit is."""
        return cls(config, least=num_places + 1, most=num_places + max_queue)

    def costs_of(self, version: str, step_ms: Callable[[int], float] | None) -> CostTable:
        """A model's table: its own if it was here before, else one that begins with what the last one knew."""
        table = self._tables.get(version)
        if table is None and self._tables:
            table = next(reversed(self._tables.values())).heir(step_ms=step_ms, shared=WITHOUT_MODEL)
        self._tables[version] = table or CostTable(quantile=self._config.quantile, step_ms=step_ms)
        self._tables.move_to_end(version)
        while len(self._tables) > MAX_TABLES:
            self._tables.popitem(last=False)
        return self._tables[version]

    def answers(self, version: str, *, num_places: int, capacity: int) -> None:
        """This model answers from now on, on an engine of so many places, and so many with those that wait."""
        self.limit.bound(least=num_places + 1, most=capacity)
        if version != self._answering:
            self._answering = version
            for pressure in self.pressures.values():
                pressure.forget_relapses()

    def beside(self) -> "Learned":
        """For a model that answers at the same time on an engine of its own: only its load is its own."""
        other = Learned(self._config, least=self._bounds[0], most=self._bounds[1])
        other._tables, other.inside = self._tables, self.inside
        return other
