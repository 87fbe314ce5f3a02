"""transformers. Freely it writes as its users have it write: `generate`, greedy, the prefix as decoder_input_ids.

Summaries are written in a loop around the model's own call, which costs less than `generate` with a LogitsProcessor:
that would mask the whole vocabulary for every token. Prompt lookup drafts from the decoder's ids alone, where the
document is not, so it finds nothing.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from qdts.loadtest.peers.base import Request, Text, Written
from qdts.loadtest.peers.interaction import Interaction
from qdts.loadtest.peers.writing import open_writing
from qdts.models.runtimes.base import Floats, Ids

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Known(NamedTuple):
    """The encoder's output (B, S, C), and its mask (B, S), which one document needs none of."""

    hidden: torch.Tensor
    mask: torch.Tensor | None


class EncoderDecoder:
    """T5ForConditionalGeneration. `generate` takes the encoder's output in the place of ids."""

    def __init__(self, directory: Path, variant: str, num_threads: int) -> None:
        from transformers import T5ForConditionalGeneration

        torch.set_num_threads(num_threads)
        self._net: Any = T5ForConditionalGeneration.from_pretrained(directory, dtype=_DTYPES[variant]).eval()
        self._net.generation_config = _endless()
        self._interaction = Interaction(directory)

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
        from transformers.modeling_outputs import BaseModelOutput

        if requests[0].text is Text.SUMMARY:
            return self._summarize(known, requests)
        prefix = torch.tensor(np.stack([request.prefix for request in requests]))
        ids = self._net.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=known.hidden),
            attention_mask=known.mask,
            decoder_input_ids=prefix,
            max_new_tokens=requests[0].num_tokens,
        )
        return _written(ids, prefix.shape[1])

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

    def _summarize(self, known: Known, requests: Sequence[Request]) -> list[Written]:
        hidden = self._interaction.add(known.hidden.float().numpy(), requests, self._encode)
        encoded = (torch.from_numpy(hidden).to(known.hidden.dtype),)
        given, past = torch.tensor(np.stack([request.prefix for request in requests])), None
        writing = open_writing(requests)
        while not writing.is_finished:
            found = self._net(
                encoder_outputs=encoded, attention_mask=known.mask, decoder_input_ids=given, past_key_values=past
            )
            past = found.past_key_values
            given = torch.from_numpy(writing.choose(found.logits[:, -1].float().numpy()))[:, None]
        return writing.written()


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
