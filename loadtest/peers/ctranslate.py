"""CTranslate2: converted from the Hugging Face directory, called with tokens as its users do."""

import json
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from qdts.loadtest.peers.base import Request, Written

_PACKAGE = "ctranslate2"
_TYPES = {"fp32": "float32", "int8": "int8"}


class EncoderDecoder:
    """A Translator. It takes text tokens only, so what the encoder says cannot be kept."""

    def __init__(self, directory: Path, variant: str, num_threads: int) -> None:
        source = directory / f"ctranslate2_{variant}"
        self._translator: Any = import_module(_PACKAGE).Translator(
            str(source), device="cpu", compute_type=_TYPES[variant], intra_threads=num_threads, inter_threads=1
        )
        self._words, self._ids = _vocabulary(source / "shared_vocabulary.json")

    @classmethod
    def build(cls, directory: Path, variant: str) -> None:
        """Convert."""
        _convert(directory, directory / f"ctranslate2_{variant}", variant)

    def read(self, requests: Sequence[Request]) -> None:
        """Nothing: a translator gives no states away and takes none."""

    def write(self, known: None, requests: Sequence[Request]) -> list[Written]:
        """All of it, in one batch. The decoder's start token, the prefix's first, is its own."""
        prefixes = [[self._words[index] for index in request.prefix[1:]] for request in requests]
        num_given = len(prefixes[0])
        results = self._translator.translate_batch(
            [[self._words[index] for index in request.encoder_ids] for request in requests],
            prefixes,
            beam_size=1,
            max_decoding_length=num_given + requests[0].num_tokens,
            end_token=[],
        )
        return [_written(result.hypotheses[0][num_given:], self._ids) for result in results]


class DecoderOnly:
    """A Generator."""

    def __init__(self, directory: Path, variant: str, num_threads: int) -> None:
        source = directory / f"ctranslate2_{variant}"
        self._generator: Any = import_module(_PACKAGE).Generator(
            str(source), device="cpu", compute_type=_TYPES[variant], intra_threads=num_threads, inter_threads=1
        )
        self._words, self._ids = _vocabulary(source / "vocabulary.json")

    @classmethod
    def build(cls, directory: Path, variant: str) -> None:
        """Convert, by way of GPT-2's names."""
        from qdts.loadtest.peers.nets import write_gpt2

        _convert(write_gpt2(directory), directory / f"ctranslate2_{variant}", variant)

    def read(self, requests: Sequence[Request]) -> None:
        """Nothing: the query stands before the document."""

    def write(self, known: None, requests: Sequence[Request]) -> list[Written]:
        """All of it."""
        (request,) = requests
        [result] = self._generator.generate_batch(
            [[self._words[index] for index in request.encoder_ids]],
            max_length=request.num_tokens,
            include_prompt_in_result=False,
            end_token=[],
        )
        return [_written(result.sequences[0], self._ids)]


def _convert(source: Path, target: Path, variant: str) -> None:
    if not target.is_dir():
        converters: Any = import_module(f"{_PACKAGE}.converters")
        converters.TransformersConverter(str(source)).convert(str(target), quantization=_TYPES[variant])


def _vocabulary(path: Path) -> tuple[list[str], dict[str, int]]:
    words: list[str] = json.loads(path.read_text(encoding="utf-8"))
    return words, {word: index for index, word in enumerate(words)}


def _written(words: list[str], ids: dict[str, int]) -> Written:
    return Written(tokens=[ids[word] for word in words], num_steps=len(words))
