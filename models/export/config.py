"""How the last stages are configured: export, quantize, explicit, engines, release. Parsing belongs to the edge."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qdts.models.export.clips import GRID

PRECISIONS = ("fp32", "int8")
_BITS = (7, 8)
_FORMATS = ("int8_qdq", "fp8_qdq")
ENGINE_PRECISIONS = ("fp32", "fp16", "bf16", "int8", "fp8")
CURRENT = "current"  # this machine's GPU


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportConfig:
    """Writes `model`/onnx/fp32 from `model`'s checkpoint."""

    model: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationConfig:
    """On which prompts the layers are watched: a JSONL file like the shipped sample, None for that sample."""

    rows: Path | None = None
    num_rows: int = 48
    num_threads: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.num_rows <= 4096:
            raise ValueError(f"num_rows must lie in [1, 4096], is {self.num_rows}")


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeConfig:
    """Writes `model`/onnx/int8 from `model`/onnx/fp32.

    `weight_bits` 7 is right on every CPU; 8 has half the rounding error and needs a CPU with VNNI to run. `clip`
    "max" clips nothing; "mse" chooses per output channel among `grid`, shares of the largest weight. `keep_fp32`
    names layers, as quantize.json has them or with * and ?, that stay float32.
    """

    model: Path
    weight_bits: int = 7
    clip: Literal["mse", "max"] = "mse"
    grid: tuple[float, ...] = GRID
    keep_fp32: tuple[str, ...] = ()
    calibration: CalibrationConfig = CalibrationConfig()

    def __post_init__(self) -> None:
        if self.weight_bits not in _BITS:
            raise ValueError(f"weight_bits must be 7 or 8, is {self.weight_bits}")
        if not self.grid or not all(0.0 < share <= 1.0 for share in self.grid):
            raise ValueError(f"grid must hold shares in (0, 1], is {list(self.grid)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplicitConfig:
    """Writes `model`/onnx/<format> for engines built elsewhere, from `model`/onnx/fp32.

    `activations` says how a tensor's one scale is found: its largest value, the `percentile` of its absolute
    values, or the clip with the least squared error.
    """

    model: Path
    formats: tuple[str, ...] = _FORMATS
    activations: Literal["minmax", "percentile", "mse"] = "mse"
    percentile: float = 99.99
    keep_fp32: tuple[str, ...] = ()
    calibration: CalibrationConfig = CalibrationConfig()

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.formats) - set(_FORMATS)) or not self.formats:
            raise ValueError(f"formats: {unknown} is not among {', '.join(_FORMATS)}")
        if not 90.0 <= self.percentile <= 100.0:
            raise ValueError(f"percentile must lie in [90, 100], is {self.percentile}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineShapes:
    """The most that engines take: rows, document tokens, tokens of a step, tokens kept of a sequence and one more.

    Rows and a step's tokens are padded to powers of two, so these are such. `max_slots` is for the decoder's prefix,
    the output and one step's drafts together; `max_step` for the prefix and the first drafts.
    A server that drafts measures steps of up to 8 rows and 64 tokens when it starts.
    """

    max_batch: int = 32
    max_document: int = 512
    max_step: int = 128
    max_slots: int = 320

    def __post_init__(self) -> None:
        for name, value in (("max_batch", self.max_batch), ("max_step", self.max_step)):
            if not 1 <= value <= 1024 or value & (value - 1):
                raise ValueError(f"{name} must be a power of two in [1, 1024], is {value}")
        for name, value in (("max_document", self.max_document), ("max_slots", self.max_slots)):
            if not 64 <= value <= 8192:
                raise ValueError(f"{name} must lie in [64, 8192], is {value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginesConfig:
    """Writes `model`/engines/<library>-<capability>-<precision> for each capability and precision, with TensorRT.

    `capabilities` are compute capabilities of GPUs, such as "8.9", or "current", this machine's. `try_on` names further
    ones on which the engines may be loaded, if the library agrees. `library` "" takes what is installed. fp32, fp16 and
    bf16 come from onnx/fp32, or from the checkpoint where there is none; int8 and fp8 from what the stage `explicit`
    wrote, with fp16 where those are wide.
    """

    model: Path
    library: Literal["", "tensorrt", "tensorrt_rtx"] = ""
    capabilities: tuple[str, ...] = (CURRENT,)
    try_on: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ("fp16",)
    shapes: EngineShapes = EngineShapes()

    def __post_init__(self) -> None:
        unknown = sorted(set(self.precisions) - set(ENGINE_PRECISIONS))
        if unknown or not self.precisions:
            raise ValueError(f"precisions are {list(self.precisions)}; known: {', '.join(ENGINE_PRECISIONS)}")
        for capability in (*self.capabilities, *self.try_on):
            if capability != CURRENT and not re.fullmatch(r"[0-9]+\.[0-9]", capability):
                raise ValueError(f'capabilities are such as "8.9", or "{CURRENT}"; not {capability!r}')
        if not self.capabilities:
            raise ValueError("capabilities is empty; name at least one")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseConfig:
    """Copies `model` with its graphs to `out` and writes the manifest; `out` keeps what prose (.md) it has.

    Graphs that `model` lacks are made with the stages' defaults. `metrics` is a report of `qdts eval --out`
    (report.json); the shipped sample is measured here unless `sample_rows`, rows per set, is 0.
    """

    model: Path
    out: Path
    name: str
    version: str
    licence: str = "Apache-2.0"
    precisions: tuple[str, ...] = ("int8",)
    training_data: tuple[str, ...] = ()
    metrics: Path | None = None
    sample_rows: int = 100
    # fp16 halves the weights' file. They are read as fp32 again, rounded; so the graphs are made anew from them.
    weights: Literal["fp32", "fp16"] = "fp32"

    def __post_init__(self) -> None:
        check_precisions(self.precisions)
        if self.weights not in ("fp32", "fp16"):
            raise ValueError(f"weights must be fp32 or fp16, is {self.weights!r}")
        if self.sample_rows < 0:
            raise ValueError(f"sample_rows must not be negative, is {self.sample_rows}")


def check_precisions(precisions: tuple[str, ...]) -> None:
    """ValueError unless at least one is named and all are known."""
    unknown = sorted(set(precisions) - set(PRECISIONS))
    if unknown or not precisions:
        raise ValueError(f"precisions are {list(precisions)}; known: {', '.join(PRECISIONS)}")
