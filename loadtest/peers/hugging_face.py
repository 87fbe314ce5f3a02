"""transformers. Freely it writes as its users have it write: `generate`, greedy, the prefix as decoder_input_ids.

Summaries are written in a loop around the model's own call, which costs less than `generate` with a LogitsProcessor:
that masks the whole vocabulary for every token. Only the variant with `_lookup` does it so, for the sake of drafts:
prompt lookup, which drafts for one sequence from the decoder's ids alone, where the document is not.
"""

from collections.abc import Sequence
from os.path import commonprefix
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from qdts.loadtest.peers.base import Request, Text, Written
from qdts.loadtest.peers.interaction import Interaction
from qdts.loadtest.peers.writing import MAX_TOKENS, open_writing
from qdts.models.copy_source import copy_state
from qdts.models.decoding.copying import CopyState
from qdts.models.runtimes.base import Floats, Ids
from qdts.models.runtimes.choice import greedy_choice
from qdts.models.tokenizer import END

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_LOOKUP = "_lookup"
# As in the library's documentation
_LOOKED_UP = 10


class Known(NamedTuple):
    """The encoder's output (B, S, C), and its mask (B, S), which one document needs none of."""

    hidden: torch.Tensor
    mask: torch.Tensor | None


class EncoderDecoder:
    """T5ForConditionalGeneration. `generate` takes the encoder's output in the place of ids."""

    def __init__(self, directory: Path, variant: str, num_threads: int) -> None:
        from transformers import T5ForConditionalGeneration

        torch.set_num_threads(num_threads)
        self._net: Any = T5ForConditionalGeneration.from_pretrained(
            directory, dtype=_DTYPES[variant.removesuffix(_LOOKUP)]
        ).eval()
        self._net.generation_config = _endless()
        self._interaction = Interaction(directory)
        self._looks_up = variant.endswith(_LOOKUP)
        self._num_calls = 0
        self._net.decoder.register_forward_pre_hook(self._count)

    @classmethod
    def build(cls, directory: Path, variant: str) -> None:
        """Nothing: it reads the directory as it is."""

    @torch.inference_mode()
    def read(self, requests: Sequence[Request]) -> Known:
        """The encoder alone."""
        return self._read([request.encoder_ids for request in requests])

    @torch.inference_mode()
    def write(self, known: Known, requests: Sequence[Request]) -> list[Written]:
        """The decoder alone; for a summary the query's encoding, too."""
        if requests[0].text is Text.FREE:
            return self._generate(known, requests, max_new_tokens=requests[0].num_tokens)
        hidden = self._interaction.add(known.hidden.float().numpy(), requests, self._encode)
        told = Known(torch.from_numpy(hidden).to(known.hidden.dtype), known.mask)
        if not self._looks_up:
            return self._summarize(told, requests)
        [request] = requests
        return self._generate(
            told, requests, max_new_tokens=MAX_TOKENS, eos_token_id=END, logits_processor=[Constraint(request)]
        )

    def join(self, parts: Sequence[Known]) -> Known:
        """Padded to the longest."""
        hidden = [part.hidden[0] for part in parts]
        return Known(_pad(hidden), _mask(hidden))

    def _read(self, documents: Sequence[Ids]) -> Known:
        ids = [torch.tensor(document) for document in documents]
        mask = _mask(ids)
        return Known(self._net.encoder(_pad(ids), attention_mask=mask).last_hidden_state, mask)

    def _encode(self, documents: Sequence[Ids]) -> Floats:
        return self._read(documents).hidden.float().numpy()

    def _count(self, *_: Any) -> None:
        self._num_calls += 1

    def _generate(self, known: Known, requests: Sequence[Request], **options: Any) -> list[Written]:
        from transformers.modeling_outputs import BaseModelOutput

        prefix = torch.tensor(np.stack([request.prefix for request in requests]))
        self._num_calls = 0
        ids = self._net.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=known.hidden),
            attention_mask=known.mask,
            decoder_input_ids=prefix,
            **({"prompt_lookup_num_tokens": _LOOKED_UP} if self._looks_up else {}),
            **options,
        )
        rows: list[list[int]] = ids[:, prefix.shape[1] :].tolist()
        return [Written(tokens=tokens, num_steps=self._num_calls) for tokens in rows]

    def _summarize(self, known: Known, requests: Sequence[Request]) -> list[Written]:
        encoded = (known.hidden,)
        given, past = torch.tensor(np.stack([request.prefix for request in requests])), None
        writing = open_writing(requests)
        while not writing.is_finished:
            found = self._net(
                encoder_outputs=encoded, attention_mask=known.mask, decoder_input_ids=given, past_key_values=past
            )
            past = found.past_key_values
            given = torch.from_numpy(writing.choose(found.logits[:, -1].float().numpy()))[:, None]
        return writing.written()


class Constraint:
    """A logits processor for one summary: of the scores (1, V) after ids (1, P + n) only the product's choice is left.

    Drafts are tried and taken back, so the states after each of the last ids are kept.
    """

    def __init__(self, request: Request) -> None:
        self._begin = len(request.prefix)
        self._tokens: list[int] = []
        self._states: list[CopyState | None] = [copy_state(request.prompt, trims=request.trims)]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores (1, V)"""
        state = self._follow(input_ids[0, self._begin :].tolist())
        # After the end, and after a draft that breaks the constraint, it does not matter what is chosen.
        ids = np.array([END]) if state is None or state.finished else state.allowed()
        led = torch.full_like(scores, -torch.inf)
        led[0, greedy_choice(ids, scores[0].float().numpy()[ids])] = 0
        return led

    def _follow(self, tokens: list[int]) -> CopyState | None:
        same = len(commonprefix([tokens, self._tokens]))
        del self._states[same + 1 :]
        for token in tokens[same:]:
            self._states.append(_after(self._states[-1], token))
        self._tokens = tokens
        return self._states[-1]


def _after(state: CopyState | None, token: int) -> CopyState | None:
    """The state one token on; None where that is not allowed."""
    if state is None or state.finished or token not in state.allowed():
        return None
    state = state.copy()
    state.advance(token)
    return state


class DecoderOnly:
    """GPT2LMHeadModel."""

    def __init__(self, directory: Path, variant: str, num_threads: int) -> None:
        from transformers import GPT2LMHeadModel

        from qdts.loadtest.peers.nets import GPT2

        torch.set_num_threads(num_threads)
        self._net: Any = GPT2LMHeadModel.from_pretrained(directory / GPT2, dtype=_DTYPES[variant]).eval()
        self._net.generation_config = _endless()

    @classmethod
    def build(cls, directory: Path, variant: str) -> None:
        """The weights under GPT-2's names."""
        from qdts.loadtest.peers.nets import write_gpt2

        write_gpt2(directory)

    def read(self, requests: Sequence[Request]) -> None:
        """Nothing: the query stands before the document."""

    @torch.inference_mode()
    def write(self, known: None, requests: Sequence[Request]) -> list[Written]:
        """All of it."""
        (request,) = requests
        prompt = torch.tensor(request.encoder_ids)[None]
        mask = torch.ones_like(prompt)
        ids = self._net.generate(prompt, attention_mask=mask, max_new_tokens=request.num_tokens)
        return _written(ids, len(request.encoder_ids))


def _pad(rows: list[torch.Tensor]) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def _mask(rows: list[torch.Tensor]) -> torch.Tensor | None:
    return _pad([torch.ones(len(row), dtype=torch.int64) for row in rows]) if len(rows) > 1 else None


def _endless() -> Any:
    """Greedy, and END is written like any other token. It must be the net's own: what is None in one that is given with
    a call is filled in from the net's."""
    from transformers import GenerationConfig

    return GenerationConfig(do_sample=False, pad_token_id=0, decoder_start_token_id=0, eos_token_id=None)


def _written(ids: torch.Tensor, num_given: int) -> list[Written]:
    rows: list[list[int]] = ids[:, num_given:].tolist()
    return [Written(tokens=tokens, num_steps=len(tokens)) for tokens in rows]
