"""This project's runtimes as systems: the oracle, plain greedy, drafted, and the product under its copy constraint."""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from qdts.errors import Unsupported, WeightsMissing
from qdts.loadtest.peers.base import PRODUCT_DIR, Request, Written
from qdts.models.copy_source import copy_state, piece_drafter
from qdts.models.decoding.base import FreeState
from qdts.models.decoding.costs import measure_step_costs
from qdts.models.decoding.drafting.base import Drafter, NoDrafter
from qdts.models.decoding.drafting.copying import CopyDrafter
from qdts.models.decoding.gate import DraftGate
from qdts.models.decoding.greedy import GreedyDecoder, Row
from qdts.models.interaction import NUM_FEATURES
from qdts.models.prompt import Prompt
from qdts.models.runtimes import load_runtime
from qdts.models.runtimes.base import Floats, Runtime, States
from qdts.models.runtimes.config import RuntimeConfig
from qdts.models.settings import ModelSettings
from qdts.models.similarity import similarity_features
from qdts.models.summarizer import SummarizerConfig

_EAGER = "fp32_eager"
_NO_END = -1
# What these weights write freely, without features and constraint, soon repeats itself: drafts of any length would be
# right, and longer ones would flatter us. Two make at most three tokens a step, the least that real summaries are to
# reach; what they do reach is measured by bench_decoding.
_MAX_DRAFT = 2


class Ours:
    """Greedy, token by token, over the whole vocabulary."""

    max_draft = 0

    def __init__(self, directory: Path, variant: str, num_threads: int) -> None:
        config = RuntimeConfig(precision=_precision(variant), num_threads=num_threads)
        self._runtime = load_runtime("eager" if variant == _EAGER else "onnx", directory, config)
        self._gate = DraftGate(measure_step_costs(self._runtime)) if self.max_draft else None

    @classmethod
    def build(cls, directory: Path, variant: str) -> None:
        """Our graphs at this precision, unless the model brought them."""
        if variant != _EAGER:
            _ensure_graphs(directory, _precision(variant))

    def read(self, request: Request) -> States:
        """The document's states."""
        return self._runtime.encode([request.encoder_ids])[0]

    def write(self, known: States, request: Request) -> Written:
        """Decode to the end."""
        batch = self._runtime.start([known], [None])
        row = Row(request.prefix.tolist(), FreeState(_NO_END), self._drafter(request))
        return _decode(
            GreedyDecoder(
                self._runtime,
                batch,
                [row],
                max_tokens=request.num_tokens,
                max_draft=self.max_draft,
                gate=self._gate,
            )
        )

    def _drafter(self, request: Request) -> Drafter:
        return NoDrafter()


class Drafted(Ours):
    """The same tokens, with copy drafts that a gate lets through by measured costs."""

    max_draft = _MAX_DRAFT

    def _drafter(self, request: Request) -> Drafter:
        return CopyDrafter([request.prefix.tolist(), request.encoder_ids.tolist()])


class Product:
    """As it is served: interaction features, copy constraint, its drafts. It stops by itself."""

    def __init__(self, directory: Path, variant: str, num_threads: int) -> None:
        model = directory.parent / PRODUCT_DIR
        config = RuntimeConfig(precision="int8", num_threads=num_threads)
        self._runtime = load_runtime("onnx", model, config)
        self._trims = ModelSettings.load(model).copying.trims
        self._gate = DraftGate(measure_step_costs(self._runtime))

    @classmethod
    def build(cls, directory: Path, variant: str) -> None:
        """The graphs, should those of the release be another version's."""
        _ensure_graphs(directory.parent / PRODUCT_DIR, _precision(variant))

    def read(self, request: Request) -> States:
        """The document's states."""
        return self._runtime.encode([request.encoder_ids])[0]

    def write(self, known: States, request: Request) -> Written:
        """Features first, for which the query passes the encoder, then decode to the end."""
        prompt, config = request.prompt, SummarizerConfig()
        batch = self._runtime.start([known], [_features(self._runtime, prompt, known)])
        state = copy_state(prompt, trims=self._trims)
        row = Row(prompt.prefix.tolist(), state, piece_drafter(prompt, state))
        return _decode(
            GreedyDecoder(
                self._runtime,
                batch,
                [row],
                max_tokens=config.max_output_tokens,
                max_draft=config.max_draft,
                gate=self._gate,
            )
        )


class SeedEager:
    """The decoder-only shape in torch: the right tokens for the seed's rows."""

    def __init__(self, directory: Path, variant: str, num_threads: int) -> None:
        import torch

        from qdts.loadtest.peers.nets import read_seed
        from qdts.models.runtimes.decoder_only import DecoderOnlyRuntime

        torch.set_num_threads(num_threads)
        self._runtime = DecoderOnlyRuntime(read_seed(directory))

    @classmethod
    def build(cls, directory: Path, variant: str) -> None:
        """Nothing: the weights are there."""

    def read(self, request: Request) -> None:
        """Nothing: the query stands before the document."""

    def write(self, known: None, request: Request) -> Written:
        """The whole prompt passes all layers, then decode to the end."""
        (states,) = self._runtime.encode([request.encoder_ids[:-1]])
        batch = self._runtime.start([states], [None])
        row = Row([int(request.encoder_ids[-1])], FreeState(_NO_END), NoDrafter())
        return _decode(GreedyDecoder(self._runtime, batch, [row], max_tokens=request.num_tokens))


def _precision(variant: str) -> Literal["fp32", "int8"]:
    return "int8" if variant == "int8" else "fp32"


def _ensure_graphs(directory: Path, precision: Literal["fp32", "int8"]) -> None:
    """Export what is missing, or was written for another version of the runtime."""
    from qdts.models.export.release import export

    try:
        load_runtime("onnx", directory, RuntimeConfig(precision=precision))
    except (Unsupported, WeightsMissing):
        export(directory, directory, (precision,))


def _decode(decoder: GreedyDecoder) -> Written:
    while decoder.active:
        decoder.step()
    return Written(tokens=list(decoder.rows[0].tokens), num_steps=decoder.num_steps)


def _features(runtime: Runtime, prompt: Prompt, known: States) -> Floats | None:
    if not runtime.num_features:
        return None
    if runtime.num_features != NUM_FEATURES:
        return prompt.features
    (query,) = runtime.encode([prompt.query_ids])
    made: Any = similarity_features(prompt.encoder_ids, known.hidden, query.hidden)
    return np.concatenate([prompt.features, made], axis=1)
