"""What is written for some requests, token by token, by an engine that gives scores of the whole vocabulary.

Shapes: B requests · V vocabulary.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from qdts.loadtest.peers.base import Request, Text, Written
from qdts.models.copy_source import copy_state
from qdts.models.decoding.copying import CopyState
from qdts.models.runtimes.base import Ids
from qdts.models.runtimes.choice import greedy_choice
from qdts.models.summarizer import SummarizerConfig
from qdts.models.tokenizer import PAD

Scores = npt.NDArray[Any]
MAX_TOKENS = SummarizerConfig().max_output_tokens


class Writing(Protocol):
    """The texts so far."""

    @property
    def is_finished(self) -> bool:
        """Whether nothing more is to be written for any request."""
        ...

    def choose(self, scores: Scores) -> Ids:
        """Scores (B, V) -> the tokens (B,) that are written now; padding where a text has ended."""
        ...

    def written(self) -> list[Written]:
        """What was written for each request, a token a step."""
        ...


class FreeWriting:
    """The highest score of all, as many times as the requests want."""

    def __init__(self, requests: Sequence[Request]) -> None:
        self._num_tokens = requests[0].num_tokens
        self._columns: list[Ids] = []

    @property
    def is_finished(self) -> bool:
        """Whether there are enough."""
        return len(self._columns) == self._num_tokens

    def choose(self, scores: Scores) -> Ids:
        """(B, V) -> (B,)"""
        self._columns.append(scores.argmax(-1))
        return self._columns[-1]

    def written(self) -> list[Written]:
        """The columns, by request."""
        return [_one(row.tolist()) for row in np.stack(self._columns, axis=1)]


class SummaryWriting:
    """Under the copy constraint and by the product's rule of choice, until each summary ends."""

    def __init__(self, requests: Sequence[Request]) -> None:
        self._states = [copy_state(request.prompt, trims=request.trims) for request in requests]
        self._tokens = [list[int]() for _ in requests]

    @property
    def is_finished(self) -> bool:
        """Whether all have ended."""
        return all(map(_has_ended, self._states, self._tokens))

    def choose(self, scores: Scores) -> Ids:
        """(B, V) -> (B,)"""
        chosen = np.full(len(scores), PAD, np.int64)
        for row, (state, tokens) in enumerate(zip(self._states, self._tokens, strict=True)):
            if not _has_ended(state, tokens):
                ids = state.allowed()
                chosen[row] = ids[0] if len(ids) == 1 else greedy_choice(ids, scores[row, ids])
                state.advance(int(chosen[row]))
                tokens.append(int(chosen[row]))
        return chosen

    def written(self) -> list[Written]:
        """Summaries, each to its end."""
        return [_one(tokens) for tokens in self._tokens]


def open_writing(requests: Sequence[Request]) -> Writing:
    """Nothing written yet, of the kind of text that the requests want."""
    return SummaryWriting(requests) if requests[0].text is Text.SUMMARY else FreeWriting(requests)


def _has_ended(state: CopyState, tokens: Sequence[int]) -> bool:
    return state.finished or len(tokens) == MAX_TOKENS


def _one(tokens: list[int]) -> Written:
    return Written(tokens=tokens, num_steps=len(tokens))
