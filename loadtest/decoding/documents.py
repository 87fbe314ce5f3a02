"""Rows as one runtime reads them: once, whatever drafters and batch sizes write from them.

States lie on disk between their uses: those of a thousand rows would be most of the memory that is measured.
"""

import pickle
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from qdts.models.evaluation.rows import EvalRow
from qdts.models.evaluation.systems import document_of
from qdts.models.prompt import Prompt, PromptBuilder
from qdts.models.runtimes.base import Floats, Runtime, States
from qdts.models.summarizer import read_prompts

MAX_WORDS = 50


@dataclass(frozen=True, slots=True)
class Read:
    """A prompt, read."""

    prompt: Prompt
    states: States
    features: Floats


@dataclass(slots=True)
class Documents:
    """Rows read by `runtime`, in their order; `ms[i]` is what reading row i took. Text work is not counted."""

    directory: Path
    ms: list[float] = field(default_factory=list[float])

    @classmethod
    def read(cls, runtime: Runtime, builder: PromptBuilder, rows: Sequence[EvalRow], directory: Path) -> "Documents":
        """All rows, one by one, into the directory."""
        documents = cls(directory)
        for index, row in enumerate(tqdm(rows, desc="reading", leave=False)):
            prompt = builder.build(row.query, document_of(row), max_words=MAX_WORDS)
            started = time.perf_counter()
            states, features = read_prompts(runtime, [prompt])
            documents.ms.append(1000 * (time.perf_counter() - started))
            documents._path(index).write_bytes(pickle.dumps(Read(prompt, states[0], features[0])))
        return documents

    @property
    def read_ms(self) -> float:
        """Median per row."""
        return float(np.median(self.ms))

    def load(self, indices: Sequence[int]) -> list[Read]:
        """These rows."""
        return [pickle.loads(self._path(index).read_bytes()) for index in indices]

    def groups(self, num_rows: int, size: int) -> list[list[int]]:
        """Indices of `num_rows` rows, or all, spread over them, in batches."""
        count = min(num_rows, len(self.ms))
        chosen = [index * len(self.ms) // count for index in range(count)]
        return list(_batches(chosen, size))

    def _path(self, index: int) -> Path:
        return self.directory / f"{index}.pickle"


def _batches(indices: Sequence[int], size: int) -> Iterator[list[int]]:
    for first in range(0, len(indices), size):
        yield list(indices[first : first + size])
