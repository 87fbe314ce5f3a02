"""transformers, as its users call it: `generate`, greedy, with the prefix as decoder_input_ids."""

from pathlib import Path
from typing import Any

import torch

from qdts.loadtest.peers.base import Request, Written

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class EncoderDecoder:
    """T5ForConditionalGeneration. `generate` takes the encoder's output in the place of ids."""

    def __init__(self, directory: Path, variant: str, num_threads: int) -> None:
        from transformers import T5ForConditionalGeneration

        torch.set_num_threads(num_threads)
        self._net: Any = T5ForConditionalGeneration.from_pretrained(directory, dtype=_DTYPES[variant]).eval()
        self._net.generation_config = _endless()

    @classmethod
    def build(cls, directory: Path, variant: str) -> None:
        """Nothing: it reads the directory as it is."""

    @torch.inference_mode()
    def read(self, request: Request) -> Any:
        """The encoder alone."""
        return self._net.encoder(torch.tensor(request.encoder_ids)[None])

    @torch.inference_mode()
    def write(self, known: Any, request: Request) -> Written:
        """The decoder alone."""
        ids = self._net.generate(
            encoder_outputs=known,
            decoder_input_ids=torch.tensor(request.prefix)[None],
            max_new_tokens=request.num_tokens,
        )
        return _written(ids, len(request.prefix))


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

    def read(self, request: Request) -> None:
        """Nothing: the query stands before the document."""

    @torch.inference_mode()
    def write(self, known: None, request: Request) -> Written:
        """All of it."""
        prompt = torch.tensor(request.encoder_ids)[None]
        mask = torch.ones_like(prompt)
        ids = self._net.generate(prompt, attention_mask=mask, max_new_tokens=request.num_tokens)
        return _written(ids, len(request.encoder_ids))


def _endless() -> Any:
    """Greedy, and END is written like any other token. It must be the net's own: what is None in one that is given with
    a call is filled in from the net's."""
    from transformers import GenerationConfig

    return GenerationConfig(do_sample=False, pad_token_id=0, decoder_start_token_id=0, eos_token_id=None)


def _written(ids: torch.Tensor, num_given: int) -> Written:
    tokens: list[int] = ids[0, num_given:].tolist()
    return Written(tokens=tokens, num_steps=len(tokens))
