"""What the simulated model takes. Linear, so that capacity can be computed by hand."""

import math
from dataclasses import dataclass

from qdts.service.limits import require_between

# English text, by the shipped tokenizer, about.
CHARS_PER_TOKEN = 4.4


@dataclass(frozen=True, slots=True, kw_only=True)
class CostModel:
    """Milliseconds. A step is over `step_width` tokens of each summary in the batch; each needs `num_steps` steps."""

    encode_ms: float = 3.0  # per call
    encode_ms_per_token: float = 0.05
    max_tokens: int = 512  # what the encoder reads at most; passages are half of it
    step_ms: float = 6.0
    step_ms_per_token: float = 0.1  # times batch x width
    step_width: int = 4
    num_steps: int = 10

    def __post_init__(self) -> None:
        for name in ("encode_ms", "encode_ms_per_token", "step_ms", "step_ms_per_token"):
            require_between(f"costs.{name}", getattr(self, name), 0, 60_000)
        require_between("costs.max_tokens", self.max_tokens, 1, 1_000_000)
        require_between("costs.step_width", self.step_width, 1, 1000)
        require_between("costs.num_steps", self.num_steps, 1, 10_000)

    def num_tokens(self, num_chars: int, *, passages_only: bool = False) -> int:
        """Tokens that are read of a document of so many characters."""
        most = max(1, self.max_tokens // 2) if passages_only else self.max_tokens
        return min(most, max(1, math.ceil(num_chars / CHARS_PER_TOKEN)))

    def encoding_ms(self, num_tokens: int) -> float:
        """Reading documents of so many tokens in all, in one call."""
        return self.encode_ms + self.encode_ms_per_token * num_tokens

    def stepping_ms(self, batch: int) -> float:
        """One step of so many summaries."""
        return self.step_ms + self.step_ms_per_token * batch * self.step_width

    def capacity_qps(self, batch: int, num_tokens: float) -> float:
        """Summaries per second with `batch` places always taken, documents of `num_tokens` read one by one."""
        round_ms = self.num_steps * self.stepping_ms(batch) + batch * (
            self.encode_ms + self.encode_ms_per_token * num_tokens
        )
        return 1000 * batch / round_ms


# A model that takes no time: what is left is the service's own.
INSTANT = CostModel(encode_ms=0, encode_ms_per_token=0, step_ms=0, step_ms_per_token=0, num_steps=1)
# One that takes its time, some 35 ms a summary, but no processor's: there is always a call in its midst.
PACED = CostModel(encode_ms=5, encode_ms_per_token=0, step_ms=3, step_ms_per_token=0, num_steps=10)
