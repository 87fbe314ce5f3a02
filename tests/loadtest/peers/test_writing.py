"""Tokens are chosen as the product chooses them, and each text ends by itself."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from qdts.loadtest.peers import writing
from qdts.loadtest.peers.base import Request, Text
from qdts.loadtest.peers.writing import FreeWriting, SummaryWriting, open_writing
from qdts.models.copy_source import copy_state
from qdts.models.tokenizer import END, PAD, marker


def peaks(*ids: int) -> np.ndarray:
    """Scores (B, 400), the highest at these ids."""
    scores = np.zeros((len(ids), 400), np.float32)
    scores[np.arange(len(ids)), ids] = 9
    return scores


def test_freely_it_is_the_highest_score_so_many_times(asked: Sequence[Request]) -> None:
    text = open_writing([replace(request, num_tokens=2) for request in asked[:2]])
    assert isinstance(text, FreeWriting)
    assert text.choose(peaks(7, END)).tolist() == [7, END]
    assert not text.is_finished
    text.choose(peaks(8, 9))
    assert text.is_finished
    assert [one.tokens for one in text.written()] == [[7, 8], [END, 9]]


def test_a_summary_is_pieces_of_the_document_and_ends(summaries: Sequence[Request]) -> None:
    [first, *_] = summaries
    text = open_writing([first])
    assert isinstance(text, SummaryWriting)
    sentence = first.prompt.sentences[1]
    assert text.choose(peaks(marker(1))).tolist() == [marker(1)]
    # Where there is no choice, scores are not asked.
    for token in sentence.ids.tolist():
        assert text.choose(peaks(5)).tolist() == [token]
    assert not text.is_finished
    text.choose(peaks(END))
    assert text.is_finished
    [one] = text.written()
    assert one.tokens == [marker(1), *sentence.ids.tolist(), END]
    assert one.num_steps == len(one.tokens)


def test_who_has_ended_is_given_padding(summaries: Sequence[Request]) -> None:
    short, long = summaries[0], summaries[2]
    text = SummaryWriting([short, long])
    order = [marker(1), *short.prompt.sentences[1].ids.tolist(), END]
    wanted = copy_state(long.prompt, trims=False)
    for token in order:
        other = int(wanted.allowed()[0] if wanted.allowed()[0] != END else wanted.allowed()[-1])
        chosen = text.choose(peaks(token, other))
        wanted.advance(int(chosen[1]))
        assert chosen[0] == token
    while not text.is_finished:
        assert text.choose(peaks(7, END))[0] == PAD
    assert [one.tokens[-1] for one in text.written()] == [END, END]
    assert text.written()[0].tokens == order


def test_no_summary_is_longer_than_one_that_is_served(
    summaries: Sequence[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "MAX_TOKENS", 3)
    text = SummaryWriting(summaries[:1])
    while not text.is_finished:
        text.choose(peaks(marker(0)))
    assert len(text.written()[0].tokens) == 3
    assert summaries[0].text is Text.SUMMARY
