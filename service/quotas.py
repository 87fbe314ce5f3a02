"""What each tenant may use: a token bucket each, in cost units. A unit is a token that the model reads or writes.

The bucket refills at the tenant's rate and holds some seconds of it. A request reserves about what it will use and pays
what it did: an answer from the cache costs one unit. Tenants without a rate of their own share the default's bucket, so
that made-up names gain nothing.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from qdts.errors import ConfigError, QuotaExceeded
from qdts.service.deadline import Clock
from qdts.service.limits import require_between
from qdts.service.reply import CacheStatus, Reply
from qdts.service.request import Request
from qdts.service.retry_after import RetryAfter

# What a request reserves, before anything is read: so many characters to a token, and a document's tokens up to here.
CHARS_PER_TOKEN, MAX_RESERVED_TOKENS = 4, 512
MIN_UNITS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaConfig:
    """Rates in units per second; 0: no bound."""

    # The metadata key that names the tenant.
    metadata_key: str = "x-qdts-tenant"
    # Whether it is believed of callers whose token and certificate bind them to nothing (service/tenants.py);
    # auto: as long as no token and no certificate binds anybody.
    trust_metadata: Literal["auto", "always", "never"] = "auto"
    # Of all tenants without a rate of their own, together.
    default_rate: float = 0.0
    # "search=20000, ads=500"
    tenants: str = ""
    # How many seconds of its rate a tenant may use at once.
    burst_s: float = 10.0

    def __post_init__(self) -> None:
        require_between("quotas.default_rate", self.default_rate, 0, 1e12)
        require_between("quotas.burst_s", self.burst_s, 0.1, 3600)
        if self.metadata_key != self.metadata_key.lower() or not self.metadata_key:
            raise ConfigError(f"quotas.metadata_key = {self.metadata_key!r}: must be in lower case")
        parse_rates(self.tenants)


def parse_rates(text: str) -> dict[str, float]:
    """Tenants and their rates; ConfigError where it is not "name=rate, name=rate"."""
    rates: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, rate = (side.strip() for side in part.partition("="))
        try:
            rates[name] = float(rate)
        except ValueError as error:
            raise ConfigError(f"quotas.tenants: {part!r}: must be name=rate") from error
        require_between(f"quotas.tenants: {name}", rates[name], 0, 1e12)
    return rates


def tenant_of(metadata: Iterable[tuple[str, str | bytes]] | None, key: str) -> str:
    """The tenant that a call's metadata names, or ""."""
    return next((value for name, value in metadata or () if name == key and isinstance(value, str)), "")


@dataclass(slots=True)
class Bill:
    """What a request is charged when it is over."""

    units: float


class Quotas:
    """The buckets. One event loop's."""

    def __init__(self, config: QuotaConfig, *, clock: Clock = time.monotonic) -> None:
        rates, retry_after = parse_rates(config.tenants), RetryAfter()
        self._default = _Bucket(config.default_rate, config.burst_s, clock, retry_after)
        self._buckets: Mapping[str, _Bucket] = {
            name: _Bucket(rate, config.burst_s, clock, retry_after) for name, rate in rates.items()
        }

    @contextmanager
    def spending(self, request: Request) -> Iterator[Bill]:
        """Reserve what the request may use; QuotaExceeded if there is not as much. At the end the bill is settled."""
        bucket = self._buckets.get(request.tenant, self._default)
        bill = Bill(reserved_units(request))
        reserved = bill.units
        bucket.take(reserved)
        try:
            yield bill
        finally:
            bucket.give(reserved - bill.units)


def reserved_units(request: Request) -> float:
    """About what the request will use."""
    return min(request.num_chars // CHARS_PER_TOKEN, MAX_RESERVED_TOKENS) + request.max_words


def used_units(reply: Reply) -> float:
    """What went into the reply, if it was made for this request alone."""
    if reply.cache_status in (CacheStatus.HIT, CacheStatus.STALE, CacheStatus.SHARED):
        return MIN_UNITS
    return max(MIN_UNITS, reply.summary.num_input_tokens + reply.summary.num_output_tokens)


class _Bucket:
    """Fills by `rate` a second, up to `burst_s` seconds of it. One request is always let in where it is full."""

    def __init__(self, rate: float, burst_s: float, clock: Clock, retry_after: RetryAfter) -> None:
        self._rate = rate
        self._size = rate * burst_s
        self._level = self._size
        self._clock = clock
        self._filled_at = clock()
        self._retry_after = retry_after

    def take(self, units: float) -> None:
        """QuotaExceeded, and nothing taken, where there is less in it."""
        if not self._rate:
            return
        now = self._clock()
        self._level = min(self._size, self._level + self._rate * (now - self._filled_at))
        self._filled_at = now
        missing = min(units, self._size) - self._level
        if missing > 0:
            after_s = self._retry_after.about(missing / self._rate)
            raise QuotaExceeded("the tenant's quota is used up", retry_after_s=after_s)
        self._level -= units

    def give(self, units: float) -> None:
        """Put back what was not needed."""
        self._level = min(self._size, self._level + units)
