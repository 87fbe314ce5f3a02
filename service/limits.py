"""The bounds on requests, checked before any text is read. Knows nothing of gRPC."""

from dataclasses import dataclass

from qdts.errors import ConfigError


def require_between(name: str, value: float, low: float, high: float) -> None:
    """ConfigError unless low <= value <= high; it names the setting, its value and the bound."""
    if not low <= value <= high:
        raise ConfigError(f"{name} = {value}: must be between {low} and {high}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Lengths count Unicode code points. The proto file documents the defaults: change both."""

    max_query_chars: int = 1_000
    max_document_chars: int = 2_000_000
    max_title_chars: int = 1_000
    max_id_chars: int = 256
    max_batch_items: int = 100
    min_words: int = 5
    max_words: int = 100
    default_words: int = 50
    # Above the largest valid document, so that our error and not the transport's names the bound.
    max_message_bytes: int = 8 * 1024 * 1024

    def __post_init__(self) -> None:
        require_between("limits.max_query_chars", self.max_query_chars, 1, 100_000)
        require_between("limits.max_document_chars", self.max_document_chars, 1, 50_000_000)
        require_between("limits.max_title_chars", self.max_title_chars, 1, 100_000)
        require_between("limits.max_id_chars", self.max_id_chars, 1, 10_000)
        require_between("limits.max_batch_items", self.max_batch_items, 1, 10_000)
        require_between("limits.min_words", self.min_words, 1, 1_000)
        require_between("limits.max_words", self.max_words, self.min_words, 1_000)
        require_between("limits.default_words", self.default_words, self.min_words, self.max_words)
        require_between("limits.max_message_bytes", self.max_message_bytes, 64 * 1024, 256 * 1024 * 1024)
