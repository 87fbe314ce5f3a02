"""This project's runtimes as systems: the oracle, plain greedy, drafted, and the product under its copy constraint."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from qdts.errors import Unsupported, WeightsMissing
from qdts.loadtest.peers.base import BATCH_SIZE, PRODUCT_DIR, Request, Written
from qdts.models.copy_source import copy_state, piece_drafter
from qdts.models.decoding.base import FreeState
from qdts.models.decoding.drafting.base import Drafter, NoDrafter
from qdts.models.decoding.drafting.copying import CopyDrafter
from qdts.models.decoding.greedy import GreedyDecoder, Row
from qdts.models.interaction import NUM_FEATURES
from qdts.models.prompt import Prompt
from qdts.models.runtimes import load_runtime
from qdts.models.runtimes.base import Floats, Runtime, States
from qdts.models.runtimes.config import Precision, RuntimeConfig
from qdts.models.settings import ModelSettings
from qdts.models.similarity import similarity_features
from qdts.models.summarizer import SummarizerConfig, open_gate

_EAGER, _DRAFT = "fp32_eager", "_draft"
_NO_END = -1


class Ours:
    """Greedy over the whole vocabulary, token by token or with copy drafts that a gate lets through by measured costs.

    Variants: fp32, int8, and with `_draft<n>` the most tokens drafted in a step.
    """

    def __init__(self, directory: Path, variant: str, num_threads: int) -> None:
        kind, _, max_draft = variant.partition(_DRAFT)
        config = RuntimeConfig(precision=_precision(kind), num_threads=num_threads)
        self._runtime = load_runtime("eager" if kind == _EAGER else "onnx", directory, config)
        self._max_draft = int(max_draft or 0)
        self._gate = open_gate(self._runtime, BATCH_SIZE) if self._max_draft else None

    @classmethod
    def build(cls, directory: Path, variant: str) -> None:
        """Our graphs at this precision, unless the model brought them."""
        if variant != _EAGER:
            _ensure_graphs(directory, _precision(variant))

    def read(self, requests: Sequence[Request]) -> list[States]:
        """The documents' states."""
        return self._runtime.encode([request.encoder_ids for request in requests])

    def write(self, known: list[States], requests: Sequence[Request]) -> list[Written]:
        """Decode to the end."""
        batch = self._runtime.start(known, [None] * len(known))
        rows = [Row(request.prefix.tolist(), FreeState(_NO_END), self._drafter(request)) for request in requests]
        return _decode(
            GreedyDecoder(
                self._runtime,
                batch,
                rows,
                max_tokens=requests[0].num_tokens,
                max_draft=self._max_draft,
                gate=self._gate,
            )
        )

    def _drafter(self, request: Request) -> Drafter:
        if not self._max_draft:
            return NoDrafter()
        # As the drafter `copy` of bench_decoding, by whose tokens per step the cap is chosen
        return CopyDrafter([request.prefix.tolist(), request.encoder_ids.tolist()], min_match=1, per_match=64)


class Product:
    """As it is served: interaction features, copy constraint, its drafts. It stops by itself."""

    def __init__(self, directory: Path, variant: str, num_threads: int) -> None:
        model = directory.parent / PRODUCT_DIR
        config = RuntimeConfig(precision="int8", num_threads=num_threads)
        self._runtime = load_runtime("onnx", model, config)
        self._trims = ModelSettings.load(model).copying.trims
        self._gate = open_gate(self._runtime, BATCH_SIZE)

    @classmethod
    def build(cls, directory: Path, variant: str) -> None:
        """The graphs, should those of the release be another version's."""
        _ensure_graphs(directory.parent / PRODUCT_DIR, _precision(variant))

    def read(self, requests: Sequence[Request]) -> list[States]:
        """The documents' states."""
        return self._runtime.encode([request.encoder_ids for request in requests])

    def write(self, known: list[States], requests: Sequence[Request]) -> list[Written]:
        """Features first, for which the queries pass the encoder, then decode to the end."""
        prompts, config = [request.prompt for request in requests], SummarizerConfig()
        batch = self._runtime.start(known, _features(self._runtime, prompts, known))
        states = [copy_state(prompt, trims=self._trims) for prompt in prompts]
        rows = [
            Row(prompt.prefix.tolist(), state, piece_drafter(prompt, state))
            for prompt, state in zip(prompts, states, strict=True)
        ]
        return _decode(
            GreedyDecoder(
                self._runtime,
                batch,
                rows,
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

    def read(self, requests: Sequence[Request]) -> None:
        """Nothing: the query stands before the document."""

    def write(self, known: None, requests: Sequence[Request]) -> list[Written]:
        """The whole prompt passes all layers, then decode to the end."""
        (request,) = requests
        states = self._runtime.encode([request.encoder_ids[:-1]])
        batch = self._runtime.start(states, [None])
        row = Row([int(request.encoder_ids[-1])], FreeState(_NO_END), NoDrafter())
        return _decode(GreedyDecoder(self._runtime, batch, [row], max_tokens=request.num_tokens))


def _precision(variant: str) -> Precision:
    return "int8" if variant.startswith("int8") else "fp32"


def _ensure_graphs(directory: Path, precision: Precision) -> None:
    """Export what is missing, or was written for another version of the runtime."""
    from qdts.models.export.release import export

    try:
        load_runtime("onnx", directory, RuntimeConfig(precision=precision))
    except (Unsupported, WeightsMissing):
        export(directory, directory, (precision,))


def _decode(decoder: GreedyDecoder) -> list[Written]:
    while decoder.active:
        decoder.step()
    return [Written(tokens=list(row.tokens), num_steps=row.num_steps) for row in decoder.rows.values()]


def _features(runtime: Runtime, prompts: Sequence[Prompt], known: Sequence[States]) -> list[Floats | None]:
    """Those that the net was trained with: of the texts, and of their states where it compares these."""
    if not runtime.num_features:
        return [None] * len(prompts)
    if runtime.num_features != NUM_FEATURES:
        return [prompt.features for prompt in prompts]
    queries = runtime.encode([prompt.query_ids for prompt in prompts])
    made = [
        similarity_features(prompt.encoder_ids, document.hidden, query.hidden)
        for prompt, document, query in zip(prompts, known, queries, strict=True)
    ]
    return [np.concatenate([prompt.features, own], axis=1) for prompt, own in zip(prompts, made, strict=True)]
