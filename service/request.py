"""What a caller asks, validated. Numbers of the enums are those of the proto."""

from dataclasses import dataclass
from enum import IntEnum

from qdts.models.document import Document


class View(IntEnum):
    """How much of the reply to fill."""

    BASIC = 1
    FULL = 2


class Priority(IntEnum):
    """Lower numbers are served first."""

    INTERACTIVE = 1
    PREFETCH = 2
    BULK = 3


class Tier(IntEnum):
    """How the summary is made, if time and capacity allow."""

    AUTO = 1
    FAST = 2
    GENERATIVE = 3
    BEST = 4


class CachePolicy(IntEnum):
    """Use of the reply cache."""

    DEFAULT = 1
    ONLY_FRESH = 2
    REFRESH = 3
    BYPASS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One question about one document.

    `document.text` is the caller's text with control characters read as spaces, so offsets are the caller's;
    `document_sha256` is that of the text as it came.
    """

    query: str
    document: Document
    document_sha256: str
    max_words: int
    view: View = View.FULL
    priority: Priority = Priority.INTERACTIVE
    tier: Tier = Tier.AUTO
    cache_policy: CachePolicy = CachePolicy.DEFAULT
    request_id: str = ""
    document_id: str = ""
    tenant: str = ""  # whose quota pays; "" is anybody's

    @property
    def num_chars(self) -> int:
        """Size of the document in code points."""
        return len(self.document.text)
