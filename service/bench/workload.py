"""What arrives: which document and query, of which class. Knows nothing of time and sends nothing.

Popularity follows Zipf's law, for documents and for the queries on one document: rank k is asked for in proportion to
1 / k ** exponent, as in search logs; exponent 0 makes all alike. There are as many documents as one asks for:
beyond the shipped rows they are copies that differ by a last line, so each has its own hash and its own length.
"""

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from qdts.errors import ConfigError
from qdts.models.document import Document
from qdts.models.evaluation.rows import EvalRow
from qdts.service.bench.arrivals import Phase
from qdts.service.client.messages import CachePolicy, Priority, Request, Tier
from qdts.service.limits import require_between


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestClass:
    """Requests that are alike in all but their text."""

    name: str = "interactive"
    share: float = 1.0  # of the arrivals, relative to the other classes
    priority: Priority = "interactive"
    deadline_ms: float = 1000.0
    tier: Tier = "auto"
    cache_policy: CachePolicy = "default"
    is_streaming: bool = False
    # A slow reader waits so long after each message of a stream.
    read_delay_ms: float = 0.0
    # So many of them are cancelled by their caller, at a random moment within so long; 0: before their deadline.
    cancelled_share: float = 0.0
    cancelled_within_ms: float = 0.0

    def __post_init__(self) -> None:
        require_between(f"class {self.name}: share", self.share, 0, 1_000_000)
        require_between(f"class {self.name}: deadline_ms", self.deadline_ms, 1, 3_600_000)
        require_between(f"class {self.name}: read_delay_ms", self.read_delay_ms, 0, 60_000)
        require_between(f"class {self.name}: cancelled_share", self.cancelled_share, 0, 1)
        require_between(f"class {self.name}: cancelled_within_ms", self.cancelled_within_ms, 0, self.deadline_ms)

    @property
    def deadline_s(self) -> float:
        """Seconds from the moment a request was to be sent."""
        return self.deadline_ms / 1000

    @property
    def patience_s(self) -> float:
        """The longest that a caller who leaves waits."""
        return self.cancelled_within_ms / 1000 or self.deadline_s


@dataclass(frozen=True, slots=True, kw_only=True)
class PopularityConfig:
    """How many documents and queries there are, and how uneven their popularity is."""

    num_documents: int = 1000
    document_exponent: float = 1.0
    num_queries: int = 20  # of each document
    query_exponent: float = 1.0

    def __post_init__(self) -> None:
        require_between("popularity.num_documents", self.num_documents, 1, 10_000_000)
        require_between("popularity.document_exponent", self.document_exponent, 0, 10)
        require_between("popularity.num_queries", self.num_queries, 1, 1_000_000)
        require_between("popularity.query_exponent", self.query_exponent, 0, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One request at its time. `cancel_after_s` counts from then, too; None: its caller waits."""

    number: int
    at_s: float
    kind: RequestClass
    request: Request
    cancel_after_s: float | None = None


class Zipf:
    """Draws ranks 0 to size - 1, the first most often."""

    def __init__(self, size: int, exponent: float) -> None:
        self._reached = list(accumulate(1 / rank**exponent for rank in range(1, size + 1)))

    def draw(self, random: Random) -> int:
        """A rank."""
        return bisect(self._reached, random.random() * self._reached[-1], hi=len(self._reached) - 1)


class Workload:
    """Draws requests. `is_numbered` ends each query with " #<number>", for a server that journals who it works for."""

    def __init__(
        self,
        rows: Sequence[EvalRow],
        classes: Sequence[RequestClass],
        popularity: PopularityConfig | None = None,
        *,
        is_numbered: bool = False,
    ) -> None:
        if not rows or not classes or not sum(kind.share for kind in classes) > 0:
            raise ConfigError("workload: needs a row, and a class with a share above 0")
        popularity = popularity or PopularityConfig()
        self._rows = rows
        self._classes = classes
        self._documents = Zipf(popularity.num_documents, popularity.document_exponent)
        self._queries = Zipf(popularity.num_queries, popularity.query_exponent)
        self._is_numbered = is_numbered
        self._made: dict[int, Document] = {}

    def arrivals(self, times: Sequence[float], seed: int) -> list[Arrival]:
        """A request for each time; the same ones for the same seed."""
        random = Random(f"workload-{seed}")
        kinds = random.choices(self._classes, [kind.share for kind in self._classes], k=len(times))
        return [
            self._arrival(number, at_s, kind, random)
            for number, (at_s, kind) in enumerate(zip(times, kinds, strict=True))
        ]

    def _arrival(self, number: int, at_s: float, kind: RequestClass, random: Random) -> Arrival:
        document_rank, query_rank = self._documents.draw(random), self._queries.draw(random)
        query = self._query(document_rank, query_rank) + (f" #{number}" if self._is_numbered else "")
        is_cancelled = random.random() < kind.cancelled_share
        return Arrival(
            number=number,
            at_s=at_s,
            kind=kind,
            request=Request(
                query=query,
                document=self._document(document_rank),
                tier=kind.tier,
                priority=kind.priority,
                cache_policy=kind.cache_policy,
            ),
            cancel_after_s=random.random() * kind.patience_s if is_cancelled else None,
        )

    def _document(self, rank: int) -> Document:
        if rank not in self._made:
            row, copy = self._rows[rank % len(self._rows)], rank // len(self._rows)
            text = f"{row.document}\n\n({copy})" if copy else row.document
            self._made[rank] = Document(text=text, title=row.title)
        return self._made[rank]

    def _query(self, document_rank: int, query_rank: int) -> str:
        """The document's own question first, then those of other rows."""
        row = self._rows[(document_rank + query_rank) % len(self._rows)]
        copy = query_rank // len(self._rows)
        return f"{row.query} ({copy})" if copy else row.query


def total_s(phases: Sequence[Phase]) -> float:
    """How long phases take together."""
    return sum(phase.seconds for phase in phases)
