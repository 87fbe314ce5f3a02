"""The generative summarizer as a system to evaluate. Apart from systems.py: baselines need no runtime."""

import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, cast

from qdts.models.evaluation.config import EvaluationConfig
from qdts.models.evaluation.rows import EvalRow
from qdts.models.evaluation.systems import Output, document_of, sentence_texts
from qdts.models.prompt import Mode
from qdts.models.summarizer import Summarizer, SummarizerConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerativeSystem:
    """The generative model in one mode, one row at a time: latencies are those of batch size one."""

    summarizer: Summarizer
    mode: Mode
    max_words: int

    @property
    def name(self) -> str:
        """Mode, runtime and precision, such as "joint/onnx/int8"."""
        info = self.summarizer.info
        return f"{self.mode}/{info.name}/{info.precision}"

    def summarise(self, row: EvalRow) -> Output:
        """Prepare, encode and decode to the end."""
        began = time.perf_counter()
        prompt = self.summarizer.prepare(row.query, document_of(row), max_words=self.max_words, mode=self.mode)
        generation = self.summarizer.start([prompt])
        while generation.active:
            generation.step()
        summary = generation.summary(0)
        facts = {
            "elapsed_ms": (time.perf_counter() - began) * 1e3,
            "encode_ms": generation.encode_ms(0),
            "decode_ms": generation.decode_ms(0),
            "steps": float(generation.num_steps),
            "input_tokens": float(summary.num_input_tokens),
            "output_tokens": float(summary.num_output_tokens),
            "coverage": summary.coverage,
        }
        return Output(sentences=sentence_texts(summary), facts=facts)


def generative_systems(config: EvaluationConfig, model_dir: Path) -> list[GenerativeSystem]:
    """One system per runtime, precision and mode; the modes share a loaded model."""
    systems: list[GenerativeSystem] = []
    for runtime, precision in product(config.runtimes, config.precisions):
        settings = SummarizerConfig(runtime=runtime, precision=cast(Any, precision), num_threads=config.num_threads)
        summarizer = Summarizer.load(model_dir, settings)
        systems += [
            GenerativeSystem(summarizer=summarizer, mode=mode, max_words=config.max_words) for mode in config.modes
        ]
    return systems
