"""A new model that answers a share of the requests for real, beside the one that answers the rest: the stable one.

The same question about the same document is always put to the same model, in every process. What the canary fails at
the stable one answers. How both fare is counted by model; a canary that does worse than the stable one, by more than a
bound, gets no more requests.
"""

import hashlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from qdts.errors import Overloaded, QdtsError
from qdts.service import logs
from qdts.service.comparison import OUTCOMES, Comparison
from qdts.service.deadline import Deadline
from qdts.service.ladder import OnText
from qdts.service.limits import require_between
from qdts.service.reply import TIME_REASONS, CacheStatus, DegradeReason, Reply, Rung
from qdts.service.request import Request
from qdts.service.second_model_metrics import SecondModelMetrics
from qdts.service.serving import Serving
from qdts.service.shadow import Shadow

# So many of each model's last answers are looked at.
WINDOW = 500
FAILURES = frozenset({DegradeReason.ENGINE_FAILED, DegradeReason.GUARD_REJECTED})
# Why the stable one may do better, if there is time: it has an engine of its own.
NOT_ITS_OWN = FAILURES | {DegradeReason.OVERLOADED, DegradeReason.DEADLINE_SHORT}


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryConfig:
    """Which model, as engine.model names one ("": none), and how much it is trusted with."""

    model: str = ""
    # Of the requests that ask for the model. As many of the stable one's answers are asked of it again, to compare.
    share: float = 0.05
    # By how much its share of failed and late answers may exceed that of the stable one.
    max_worse: float = 0.05
    # Of each model, before they are compared.
    min_answers: int = 50
    # Whether SIGHUP promotes it: its model takes the stable one's place.
    promote_on_hangup: bool = False

    def __post_init__(self) -> None:
        require_between("canary.share", self.share, 0, 1)
        require_between("canary.max_worse", self.max_worse, 0, 1)
        require_between("canary.min_answers", self.min_answers, 1, WINDOW)


class CanaryState(Enum):
    """Whether it answers."""

    LOADING = "loading"
    RUNNING = "running"
    DOWN = "down"
    FAILED = "failed"
    STOPPED = "stopped"
    PROMOTED = "promoted"


class Record:
    """What became of a model's last answers."""

    def __init__(self) -> None:
        self._outcomes: deque[str] = deque(maxlen=WINDOW)

    def add(self, outcome: str) -> None:
        """One more: "good", "degraded", "failed", "guard_rejected" or "late"."""
        self._outcomes.append(outcome)

    @property
    def num_answers(self) -> int:
        """How many are looked at."""
        return len(self._outcomes)

    @property
    def num_failed(self) -> int:
        """Of them, those where the model did not do its work."""
        return self._outcomes.count("failed") + self._outcomes.count("guard_rejected")

    @property
    def num_late(self) -> int:
        """Of them, those it had no time for."""
        return self._outcomes.count("late")

    @property
    def bad_share(self) -> float:
        """Of failed and late ones."""
        return (self.num_failed + self.num_late) / max(1, self.num_answers)


class Canary:
    """From its model's coming to its end. Event loop only."""

    def __init__(
        self, config: CanaryConfig, metrics: SecondModelMetrics, on_end: Callable[[], None] = lambda: None
    ) -> None:
        """`on_end`: it answers nothing any more."""
        self._config, self._metrics, self._on_end = config, metrics, on_end
        self._serving: Serving | None = None
        self._shadow: Shadow | None = None
        self.version: str | None = None  # of its model, once there is one
        self.state = CanaryState.LOADING
        self.problem = ""
        self.records = {"canary": Record(), "stable": Record()}
        self.agreement = dict.fromkeys(OUTCOMES, 0)

    @property
    def config(self) -> CanaryConfig:
        """As it was given."""
        return self._config

    @property
    def is_over(self) -> bool:
        """Whether it answers nothing any more."""
        return self.state in (CanaryState.FAILED, CanaryState.STOPPED, CanaryState.PROMOTED)

    def show(self, serving: Serving, shadow: Shadow) -> None:
        """Its model is there, or there again; `shadow` asks it what the stable one was asked."""
        if self.is_over:
            return
        if self._shadow is not None:
            self._shadow.close()
        self._serving, self._shadow, self.version = serving, shadow, serving.version
        self._become(CanaryState.RUNNING)

    def tell(self, is_whole: bool) -> None:
        """Whether its engine runs."""
        if not self.is_over:
            self._become(CanaryState.RUNNING if is_whole else CanaryState.DOWN)

    def end(self, state: CanaryState, problem: str = "") -> None:
        """Answer nothing any more, and say why."""
        if self.is_over:
            return
        self.problem = problem
        if self._shadow is not None:
            self._shadow.close()
        log = logs.info if state is CanaryState.PROMOTED else logs.warning
        log(f"canary_{state.value}", model=self.version, reason=problem or None)
        self._serving = self._shadow = None  # its model may go
        self._become(state)
        self._on_end()

    async def answer(self, request: Request, deadline: Deadline, on_text: OnText | None) -> Reply | None:
        """Its reply, or None: the stable one is to answer."""
        if self._serving is None or not self._takes(self._serving, request):
            return None
        started_at = time.monotonic()
        try:
            reply = await self._serving.propose(request, deadline, on_text)
        except Overloaded:
            return None  # the server is full, whichever model answers
        except QdtsError:
            self._note("canary", "late" if deadline.expired else "failed", time.monotonic() - started_at)
            return None
        if _is_fresh(reply):
            self._note("canary", outcome_of(reply), time.monotonic() - started_at)
        return None if _is_below_model(reply) and not NOT_ITS_OWN.isdisjoint(reply.reasons) else reply

    def observe(self, request: Request, reply: Reply, took_s: float) -> None:
        """What the stable one has answered."""
        if self._serving is None or self._shadow is None or self.state is not CanaryState.RUNNING:
            return
        if _is_fresh(reply) and self._serving.ladder.wants_model(request):
            self._note("stable", outcome_of(reply), took_s)
            self._shadow.observe(request, reply)

    def count_agreement(self, comparison: Comparison) -> None:
        """What the canary wrote where the stable one had answered."""
        self.agreement[comparison.outcome] += 1
        self._metrics.count_agreement(comparison)

    def _takes(self, serving: Serving, request: Request) -> bool:
        is_there = self.state is CanaryState.RUNNING and serving.is_whole
        return is_there and serving.ladder.wants_model(request) and place_of(request) < self._config.share

    def _note(self, model: str, outcome: str, took_s: float) -> None:
        self.records[model].add(outcome)
        self._metrics.observe_model(model, outcome, took_s)
        canary, stable = self.records["canary"], self.records["stable"]
        is_enough = canary.num_answers >= self._config.min_answers
        # Until the stable one has been asked as often, nothing speaks for it but that it is there.
        expected = stable.bad_share if stable.num_answers >= self._config.min_answers else 0.0
        if is_enough and canary.bad_share > expected + self._config.max_worse:
            problem = f"{canary.bad_share:.1%} of its answers failed or were late, {expected:.1%} of the stable model's"
            self.end(CanaryState.STOPPED, problem)

    def _become(self, state: CanaryState) -> None:
        self.state = state
        self._metrics.set_canary_share(self._config.share if state is CanaryState.RUNNING else 0.0)


def place_of(request: Request) -> float:
    """Where a question about a document stands between 0 and 1: always at the same place."""
    asked = hashlib.sha256(f"{request.document_sha256}\n{request.query}".encode()).digest()
    return int.from_bytes(asked[:8]) / 2**64


def outcome_of(reply: Reply) -> str:
    """What became of a request that asked for the model."""
    reasons = reply.reasons
    if DegradeReason.GUARD_REJECTED in reasons:
        return "guard_rejected"
    if DegradeReason.ENGINE_FAILED in reasons:
        return "failed"
    if _is_below_model(reply) and not TIME_REASONS.isdisjoint(reasons):
        return "late"
    return "degraded" if reasons else "good"


def _is_fresh(reply: Reply) -> bool:
    return reply.cache_status in (CacheStatus.MISS, CacheStatus.BYPASS)


def _is_below_model(reply: Reply) -> bool:
    return reply.rung in (Rung.EXTRACTIVE, Rung.LEAD)
