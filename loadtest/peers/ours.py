"""This project's runtimes as systems: the oracle, without drafts, and as it is served."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from qdts.errors import Unsupported, WeightsMissing
from qdts.loadtest.peers.base import BATCH_SIZE, PRODUCT_DIR, Request, Text, Written
from qdts.loadtest.peers.writing import MAX_TOKENS
from qdts.models.copy_source import copy_state, piece_drafter
from qdts.models.decoding.base import FreeState
from qdts.models.decoding.drafting.base import Drafter, NoDrafter
from qdts.models.decoding.drafting.copying import CopyDrafter
from qdts.models.decoding.greedy import GreedyDecoder, Row
from qdts.models.document_states import PackedStates
from qdts.models.prompt import Prompt
from qdts.models.runtimes import load_runtime
from qdts.models.runtimes.base import Batch, Floats, Runtime, States
from qdts.models.runtimes.config import Precision, RuntimeConfig
from qdts.models.similarity import similarity_features
from qdts.models.summarizer import SummarizerConfig, compares_states, open_gate

_EAGER, _DRAFT = "fp32_eager", "_draft"
_NO_END = -1
Known = Sequence[States | PackedStates]


class Ours:
    """Token by token, or with drafts that a gate lets through by measured costs.

    Variants: fp32, int8, and with `_draft<n>` the most tokens drafted in a step of free text: copies of what was read.
    Summaries have the drafts of the constraint, bounded as they are served.
    """

    def __init__(self, directory: Path, variant: str, num_threads: int) -> None:
        kind, _, max_draft = variant.partition(_DRAFT)
        config = RuntimeConfig(precision=_precision(kind), num_threads=num_threads)
        model = directory.parent / PRODUCT_DIR
        self._runtime = load_runtime("eager" if kind == _EAGER else "onnx", model, config)
        self._max_draft = int(max_draft or 0)
        self._gate = open_gate(self._runtime, BATCH_SIZE) if self._max_draft else None

    @classmethod
    def build(cls, directory: Path, variant: str) -> None:
        """Our graphs at this precision, unless the model brought them."""
        if variant != _EAGER:
            _ensure_graphs(directory.parent / PRODUCT_DIR, _precision(variant))

    def read(self, requests: Sequence[Request]) -> list[States]:
        """The documents' states."""
        return self._runtime.encode([request.encoder_ids for request in requests])

    def keep(self, known: list[States]) -> Known:
        """In 8 bits, as the service keeps them; at fp32, where tokens must be the oracle's, as they are."""
        return known if self._runtime.info.precision == "fp32" else [PackedStates.pack(states) for states in known]

    def write(self, known: Known, requests: Sequence[Request]) -> list[Written]:
        """Of summaries the features first, for which the queries pass the encoder; then decode to the end."""
        states = [one.unpack() if isinstance(one, PackedStates) else one for one in known]
        if requests[0].text is Text.SUMMARY:
            return self._summarize(states, [request.prompt for request in requests], requests[0].trims)
        batch = self._runtime.start(states, [None] * len(states))
        rows = [Row(request.prefix.tolist(), FreeState(_NO_END), self._copies(request)) for request in requests]
        return self._decode(batch, rows, requests[0].num_tokens, self._max_draft)

    def _summarize(self, known: Sequence[States], prompts: Sequence[Prompt], trims: bool) -> list[Written]:
        batch = self._runtime.start(known, _features(self._runtime, prompts, known))
        states = [copy_state(prompt, trims=trims) for prompt in prompts]
        rows = [
            Row(prompt.prefix.tolist(), state, piece_drafter(prompt, state) if self._max_draft else NoDrafter())
            for prompt, state in zip(prompts, states, strict=True)
        ]
        return self._decode(batch, rows, MAX_TOKENS, SummarizerConfig().max_draft if self._max_draft else 0)

    def _decode(self, batch: Batch, rows: Sequence[Row], max_tokens: int, max_draft: int) -> list[Written]:
        decoder = GreedyDecoder(self._runtime, batch, rows, max_tokens=max_tokens, max_draft=max_draft, gate=self._gate)
        return _decode(decoder)

    def _copies(self, request: Request) -> Drafter:
        if not self._max_draft:
            return NoDrafter()
        # As the drafter `copy` of bench_decoding, by whose tokens per step the cap is chosen
        return CopyDrafter([request.prefix.tolist(), request.encoder_ids.tolist()], min_match=1, per_match=64)


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
    if not compares_states(runtime):
        return [prompt.features for prompt in prompts]
    queries = runtime.encode([prompt.query_ids for prompt in prompts])
    made = [
        similarity_features(prompt.encoder_ids, document.hidden, query.hidden)
        for prompt, document, query in zip(prompts, known, queries, strict=True)
    ]
    return [np.concatenate([prompt.features, own], axis=1) for prompt, own in zip(prompts, made, strict=True)]
