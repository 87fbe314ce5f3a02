"""How a runtime is asked to run: precision, threads, device, execution providers."""

from dataclasses import dataclass
from typing import Literal, get_args

Precision = Literal["int8", "fp32", "fp16", "bf16", "fp8"]
_PRECISIONS = get_args(Precision)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeConfig:
    """`num_threads` None takes every core of this process; `providers` are ONNX Runtime's names, in order.

    Which of the precisions can be had depends on the runtime and on what the model directory holds.
    """

    precision: Precision = "int8"
    num_threads: int | None = None
    providers: tuple[str, ...] = ("CPUExecutionProvider",)
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.precision not in _PRECISIONS:
            raise ValueError(f"precision is {self.precision!r}; known: {', '.join(_PRECISIONS)}")
        if self.num_threads is not None and self.num_threads < 1:
            raise ValueError(f"num_threads is {self.num_threads}; it must be at least 1")
        if not self.providers:
            raise ValueError("providers is empty; name at least one")
