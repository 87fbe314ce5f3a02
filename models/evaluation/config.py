"""What an evaluation is to do, checked. Knows nothing of how it is done."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from qdts.errors import ConfigError
from qdts.models.evaluation.systems import BASELINE_NAMES, RUNG_NAMES
from qdts.models.prompt import Mode

RUNTIMES = ("onnx", "eager")
PRECISIONS = ("int8", "fp32")
MAX_SUMMARY_WORDS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationConfig:
    """What to evaluate, on which rows, and where the result goes.

    `data` is a directory that holds the public sets (the frozen split is evaluated), a JSONL file of one's
    own, or None for the sample that ships. `model_dir` None evaluates the systems that need no model.
    `semantic` None measures embeddings, and minilm_1, where the package for them is installed.
    """

    data: Path | None = None
    sets: tuple[str, ...] = ()
    rows_per_set: int | None = None
    systems: tuple[str, ...] = BASELINE_NAMES + RUNG_NAMES
    model_dir: Path | None = None
    modes: tuple[Mode, ...] = get_args(Mode)
    runtimes: tuple[str, ...] = ("onnx",)
    precisions: tuple[str, ...] = ("int8",)
    num_threads: int | None = None
    max_words: int = 50
    # None leaves the baselines' sentences whole, which is what BM25-1 and the like usually mean.
    baseline_max_words: int | None = None
    semantic: bool | None = None
    seed: int = 0
    out_dir: Path | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        for name, value in (("max_words", self.max_words), ("baseline_max_words", self.baseline_max_words)):
            if value is not None and not 1 <= value <= MAX_SUMMARY_WORDS:
                raise ConfigError(f"{name} must be between 1 and {MAX_SUMMARY_WORDS}, is {value}")
        if self.rows_per_set is not None and self.rows_per_set < 1:
            raise ConfigError(f"rows_per_set must be at least 1, is {self.rows_per_set}")
        if not self.systems and self.model_dir is None:
            raise ConfigError("nothing to evaluate: systems is empty and model_dir is not set")
        _check_names("systems", self.systems, BASELINE_NAMES + RUNG_NAMES)
        _check_names("modes", self.modes, get_args(Mode))
        _check_names("runtimes", self.runtimes, RUNTIMES)
        _check_names("precisions", self.precisions, PRECISIONS)


def _check_names(field: str, names: Sequence[str], known: Sequence[str]) -> None:
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"{field}: {unknown[0]!r} is not one of {', '.join(known)}")
