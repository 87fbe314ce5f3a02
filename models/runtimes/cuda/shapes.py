"""How much the runtime holds on the device and how large its steps may be."""

from dataclasses import dataclass

_BOUNDS = {"max_document": 8192, "max_slots": 8192, "max_tokens": 1 << 20}


@dataclass(frozen=True, slots=True, kw_only=True)
class CudaShapes:
    """Sequences in flight, document tokens and decoder tokens of each, tokens of a step, tokens encoded at once.

    Memory for all of them is taken at the start and stays where it is: graphs hold addresses. Rows and a step's tokens
    are padded to powers of two, so these are such. `max_slots` is for the decoder's prefix, the output and one step's
    drafts together, and one more; `max_step` for the prefix and the first drafts.
    """

    # Twice the largest batch that is meant: the next one may be started before the last one is dropped.
    max_rows: int = 128
    max_document: int = 512
    max_step: int = 128
    max_slots: int = 320
    max_tokens: int = 16384

    def __post_init__(self) -> None:
        for name, value in (("max_rows", self.max_rows), ("max_step", self.max_step)):
            if not 1 <= value <= 1024 or value & (value - 1):
                raise ValueError(f"{name} must be a power of two in [1, 1024], is {value}")
        for name, most in _BOUNDS.items():
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"{name} must lie in [1, {most}], is {getattr(self, name)}")
        if self.max_tokens < self.max_document:
            raise ValueError(f"max_tokens must be at least max_document, {self.max_document}, is {self.max_tokens}")
