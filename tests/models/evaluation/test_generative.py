"""The generative system drives the summarizer as the service does; the summarizer here is a script."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from qdts.models.document import Document, Span, Summary, SummarySentence
from qdts.models.evaluation import generative
from qdts.models.evaluation.config import EvaluationConfig
from qdts.models.evaluation.generative import GenerativeSystem, generative_systems
from qdts.models.evaluation.rows import EvalRow
from qdts.models.runtimes.base import RuntimeInfo
from qdts.models.summarizer import Summarizer, SummarizerConfig

NUM_STEPS = 3


class ScriptedGeneration:
    """Finishes after three steps with the document's first words."""

    def __init__(self, document: Document, max_words: int) -> None:
        self._words = document.text.split()[:max_words]
        self.num_steps = 0

    @property
    def active(self) -> tuple[int, ...]:
        return (0,) if self.num_steps < NUM_STEPS else ()

    def step(self) -> None:
        self.num_steps += 1

    def encode_ms(self, index: int) -> float:
        return 2.0 + index

    def decode_ms(self, index: int) -> float:
        return 1.0 + index

    def summary(self, index: int) -> Summary:
        assert index == 0 and not self.active
        text = " ".join(self._words)
        sentence = SummarySentence(text=text, source=Span(0, len(text)))
        return Summary(sentences=(sentence,), coverage=0.5, num_input_tokens=9, num_output_tokens=4)


class ScriptedSummarizer:
    """Records what it was asked."""

    def __init__(self, precision: str) -> None:
        self.info = RuntimeInfo(name="onnx", precision=precision, device="cpu", num_threads=1)
        self.asked: list[tuple[str, Document, str]] = []

    def prepare(self, query: str, document: Document, *, max_words: int, mode: str) -> tuple[Document, int]:
        self.asked.append((query, document, mode))
        return document, max_words

    def start(self, prompts: Sequence[tuple[Document, int]]) -> ScriptedGeneration:
        ((document, max_words),) = prompts
        return ScriptedGeneration(document, max_words)


def test_it_decodes_to_the_end_and_reports_its_costs(engine_row: EvalRow) -> None:
    summarizer = ScriptedSummarizer("int8")
    system = GenerativeSystem(summarizer=cast(Summarizer, summarizer), mode="indexed", max_words=4)
    output = system.summarise(engine_row)
    assert system.name == "indexed/onnx/int8"
    assert output.text == "The engine was built"
    assert output.facts["elapsed_ms"] > 0
    facts = {name: value for name, value in output.facts.items() if name != "elapsed_ms"}
    assert facts == {
        "encode_ms": 2.0,
        "decode_ms": 1.0,
        "steps": 3.0,
        "input_tokens": 9.0,
        "output_tokens": 4.0,
        "coverage": 0.5,
    }
    assert summarizer.asked == [(engine_row.query, Document(text=engine_row.document, title="Engines"), "indexed")]


def test_modes_share_a_loaded_model(monkeypatch: pytest.MonkeyPatch, engine_row: EvalRow) -> None:
    loaded: list[tuple[Path, SummarizerConfig]] = []

    def load(path: Path, config: SummarizerConfig) -> Any:
        loaded.append((path, config))
        return ScriptedSummarizer(config.precision)

    monkeypatch.setattr(generative.Summarizer, "load", load)
    config = EvaluationConfig(model_dir=Path("m"), precisions=("int8", "fp32"), num_threads=2, max_words=6)
    systems = generative_systems(config, Path("m"))
    assert [system.name for system in systems] == [
        "joint/onnx/int8",
        "indexed/onnx/int8",
        "joint/onnx/fp32",
        "indexed/onnx/fp32",
    ]
    assert [(path, c.precision, c.num_threads) for path, c in loaded] == [
        (Path("m"), "int8", 2),
        (Path("m"), "fp32", 2),
    ]
    assert len(systems[0].summarise(replace(engine_row, query="q")).text.split()) == 6
