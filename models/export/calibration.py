"""What flows into each layer on real prompts: the fp32 graphs write summaries, and their layers' inputs are watched.

Prompts go the way they go when serving: encoder, start, then steps under the copy constraint, drafts and all, in
both modes by turns; so the decoder sees what it sees in use. Knows nothing of quantisation.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper
from tqdm import tqdm

from qdts.models.evaluation.rows import EvalRow
from qdts.models.evaluation.systems import document_of
from qdts.models.export.layers import Layer, read_graph
from qdts.models.export.to_onnx import GRAPHS
from qdts.models.lexicon import Lexicon
from qdts.models.prompt import Mode, PromptBuilder, PromptConfig
from qdts.models.runtimes.config import RuntimeConfig
from qdts.models.runtimes.embedding import EMBEDDING
from qdts.models.runtimes.graph import Array, Graph
from qdts.models.runtimes.onnx_runtime import OnnxRuntime
from qdts.models.settings import ModelSettings
from qdts.models.summarizer import Generation, SummarizerConfig
from qdts.models.tokenizer import Tokenizer

Floats = npt.NDArray[np.float32]
_onnx = cast(Any, onnx)
_helper = cast(Any, helper)
_MAX_SUMMARY_WORDS = 50
_MODES: tuple[Mode, ...] = ("joint", "indexed")
# Of each call a few rows are kept: neighbouring tokens say the same.
_KEPT_PER_CALL = 24


class Inputs:
    """Statistics of one layer's input over all tokens seen: rows (n, K) kept, `gram` X'X (K, K), largest |x|."""

    def __init__(self, width: int, seed: int) -> None:
        self.gram: Floats = np.zeros((width, width), np.float32)
        self.peak = 0.0
        self.num_tokens = 0
        self._kept: list[Floats] = []
        self._rng = np.random.default_rng(seed)

    @property
    def rows(self) -> Floats:
        """A sample (n, K) of the tokens, a few of each call."""
        return np.concatenate(self._kept)

    def add(self, values: Floats) -> None:
        """(..., K) of one call."""
        rows = values.reshape(-1, values.shape[-1])
        self.gram += rows.T @ rows
        self.peak = max(self.peak, float(np.abs(rows).max()))
        self.num_tokens += len(rows)
        chosen = self._rng.choice(len(rows), min(len(rows), _KEPT_PER_CALL), replace=False)
        self._kept.append(rows[np.sort(chosen)])


@dataclass(frozen=True, slots=True)
class Calibration:
    """The inputs of every layer, and the prompts' number."""

    num_prompts: int
    _inputs: dict[tuple[str, str], Inputs]

    def of(self, layer: Layer) -> Inputs:
        """The statistics of a layer's input; layers that share an input share them."""
        return self._inputs[layer.graph, layer.input]


def calibrate(model: Path, rows: Sequence[EvalRow], *, num_threads: int | None = None) -> Calibration:
    """Summarise `rows` with model/onnx/fp32 and watch; tokenizer and lexicon are `model`'s."""
    if not rows:
        raise ValueError("calibration needs at least one row")
    builder = PromptBuilder(
        Tokenizer.load(model / "tokenizer.json"), Lexicon.load(model / "lexicon.safetensors"), PromptConfig()
    )
    trims = ModelSettings.load(model).copying.trims
    seen: dict[tuple[str, str], Inputs] = {}
    with tempfile.TemporaryDirectory() as scratch:
        runtime = _watched_runtime(model / "onnx" / "fp32", Path(scratch), seen, num_threads)
        for index, row in enumerate(tqdm(rows, desc="calibrate", unit="prompt", disable=None)):
            mode = _MODES[index % len(_MODES)]
            prompt = builder.build(row.query, document_of(row), max_words=_MAX_SUMMARY_WORDS, mode=mode)
            generation = Generation(runtime, [prompt], SummarizerConfig(), trims=trims)
            while generation.active:
                generation.step()
    return Calibration(len(rows), seen)


class _WatchedGraph(Graph):
    """A graph whose last outputs are layers' inputs: they go into `seen`, the rest to the caller."""

    def __init__(self, path: Path, config: RuntimeConfig, seen: dict[tuple[str, str], Inputs]) -> None:
        super().__init__(path, config)
        self._stem = path.stem
        self._watched = _watched_inputs(path)
        self._seen = seen

    def run(self, *inputs: Array) -> list[Floats]:
        outputs = super().run(*inputs)
        fed = dict(zip(self.names, inputs, strict=True))
        num_own = len(outputs) - sum(name not in fed for name in self._watched)
        extra = iter(outputs[num_own:])
        for name in self._watched:
            values = cast(Floats, fed[name]) if name in fed else next(extra)
            if (self._stem, name) not in self._seen:
                self._seen[self._stem, name] = Inputs(values.shape[-1], seed=len(self._seen))
            self._seen[self._stem, name].add(values)
        return outputs[:num_own]


def _watched_runtime(
    fp32: Path, scratch: Path, seen: dict[tuple[str, str], Inputs], num_threads: int | None
) -> OnnxRuntime:
    for name in GRAPHS:
        _expose(fp32 / name, scratch / name)
    (scratch / EMBEDDING).write_bytes((fp32 / EMBEDDING).read_bytes())
    config = RuntimeConfig(precision="fp32", num_threads=num_threads)
    return OnnxRuntime(scratch, config, lambda path, settings: _WatchedGraph(path, settings, seen))


def _watched_inputs(path: Path) -> list[str]:
    """Names of the tensors that layers read, each once."""
    return list(dict.fromkeys(layer.input for layer in read_graph(path).layers))


def _expose(source: Path, target: Path) -> None:
    """The graph with its layers' inputs as further outputs, but for those that are inputs of the graph."""
    graph = read_graph(source)
    given = {value.name for value in graph.model.graph.input}
    for name in dict.fromkeys(layer.input for layer in graph.layers):
        if name not in given:
            graph.model.graph.output.append(_helper.make_empty_tensor_value_info(name))
    _onnx.save(graph.model, str(target))
