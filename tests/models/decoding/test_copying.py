"""The copy constraint: any choice of what it allows is a summary made of pieces of the document."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdts.models.decoding.copying import MIN_PIECE_WORDS, CopySentence, CopyState, Piece

END = 1
FIRST_MARKER = 8
# Few, so that clauses of a sentence often begin alike.
WORDS = st.integers(100, 103)


@st.composite
def copy_sentences(draw: st.DrawFn, max_words_per_token: int = 1) -> list[CopySentence]:
    sentences: list[CopySentence] = []
    for index in range(draw(st.integers(1, 4))):
        ids = draw(st.lists(WORDS, min_size=1, max_size=24))
        clause_ends = draw(st.lists(st.booleans(), min_size=len(ids), max_size=len(ids)))
        more = draw(st.lists(st.integers(0, max_words_per_token), min_size=len(ids) - 1, max_size=len(ids) - 1))
        begun = [1, *more]
        sentences.append(
            CopySentence(
                marker=FIRST_MARKER + index,
                ids=np.array(ids),
                clause_ends=np.array([*clause_ends[:-1], True]),
                words_before=np.cumsum([0, *begun]),
            )
        )
    return sentences


def num_words(sentences: list[CopySentence], pieces: list[Piece]) -> int:
    before = [sentences[piece.index].words_before for piece in pieces]
    return sum(int(b[p.end] - b[p.begin]) for b, p in zip(before, pieces, strict=True))


def written(sentences: list[CopySentence], pieces: list[Piece]) -> list[int]:
    tokens: list[int] = []
    for piece in pieces:
        tokens += [
            sentences[piece.index].marker,
            *sentences[piece.index].ids[piece.begin : piece.end].tolist(),
        ]
    return tokens


def sentence(*ids: int, clauses: tuple[int, ...] = (), marker: int = FIRST_MARKER) -> CopySentence:
    """Each token a word; a clause ends after each of `clauses` tokens."""
    clause_ends = np.array([t + 1 in clauses or t + 1 == len(ids) for t in range(len(ids))])
    return CopySentence(marker=marker, ids=np.array(ids), clause_ends=clause_ends, words_before=np.arange(len(ids) + 1))


def advanced(state: CopyState, *tokens: int) -> CopyState:
    for token in tokens:
        assert token in state.allowed(), f"{token} not in {state.allowed()}"
        state.advance(token)
    return state


@given(copy_sentences(max_words_per_token=2), st.integers(2, 40), st.booleans(), st.data())
def test_every_walk_ends_in_a_summary_of_pieces(
    sentences: list[CopySentence], max_words: int, trims: bool, data: st.DataObject
) -> None:
    state = CopyState(sentences, END, max_words, trims=trims)
    tokens: list[int] = []
    while not state.finished:
        allowed = state.allowed().tolist()
        assert allowed == sorted(set(allowed)) != []
        tokens.append(data.draw(st.sampled_from(allowed)))
        state.advance(tokens[-1])
        assert len(tokens) <= sum(1 + len(s.ids) for s in sentences) + 1
    assert tokens == [*written(sentences, state.pieces), END]
    assert [p.index for p in state.pieces] == sorted({p.index for p in state.pieces})
    assert num_words(sentences, state.pieces) == max_words - state.words_left <= max_words
    for piece in state.pieces:
        source = sentences[piece.index]
        assert piece.begin in (source.begins() if trims else [0])
        assert piece.end > piece.begin


@given(copy_sentences(), st.integers(1, 40), st.booleans(), st.data())
def test_runs_and_openings_are_allowed(
    sentences: list[CopySentence], max_words: int, trims: bool, data: st.DataObject
) -> None:
    state = CopyState(sentences, END, max_words, trims)
    advanced(state.copy(), *state.opening(data.draw(st.integers(0, len(sentences) - 1))))
    while not state.finished:
        advanced(state.copy(), *state.run())
        state.advance(data.draw(st.sampled_from(state.allowed().tolist())))
    assert state.run() == []


@given(copy_sentences(), st.data())
def test_every_piece_of_the_grammar_can_be_written(sentences: list[CopySentence], data: st.DataObject) -> None:
    """Also where several clauses of the sentence begin with the same tokens."""
    index = data.draw(st.integers(0, len(sentences) - 1))
    source = sentences[index]
    begin = data.draw(st.sampled_from(source.begins()))
    ends = [end for end in range(begin + 1, len(source.ids) + 1) if source.may_end(begin, end)]
    piece = Piece(index, begin, data.draw(st.sampled_from(ends)))
    state = CopyState(sentences, END, 100, trims=True)
    advanced(state, *written(sentences, [piece]), END)
    assert written(sentences, state.pieces) == written(sentences, [piece])


def test_a_piece_is_the_whole_sentence_unless_the_net_trims() -> None:
    source = sentence(*range(100, 112), clauses=(6,))
    state = advanced(CopyState([source], END, 40), FIRST_MARKER)
    assert state.allowed().tolist() == [100]
    advanced(state, *range(100, 106))
    assert state.allowed().tolist() == [106]
    advanced(state, *range(106, 112), END)
    assert state.finished and state.pieces == [Piece(0, 0, 12)]


def test_a_net_that_trims_begins_and_ends_at_clauses() -> None:
    source = sentence(*range(100, 112), clauses=(6,))
    state = advanced(CopyState([source], END, 40, trims=True), FIRST_MARKER)
    assert state.allowed().tolist() == [100, 106]
    assert advanced(state.copy(), *range(100, 106)).allowed().tolist() == [END, 106]
    assert advanced(state.copy(), *range(106, 112), END).pieces == [Piece(0, 6, 12)]


def test_clauses_that_begin_alike_are_told_apart_later() -> None:
    """7 8 a a a, 7 8 b b b, 7 9 c c c: the first token says nothing, the second and third decide."""
    ids = (107, 108, 101, 101, 101, 107, 108, 102, 102, 102, 107, 109, 103, 103, 103)
    state = CopyState([sentence(*ids, clauses=(5, 10))], END, 40, trims=True)
    advanced(state, FIRST_MARKER)
    assert state.allowed().tolist() == [107]
    advanced(state, 107)
    assert state.allowed().tolist() == [108, 109]
    assert advanced(state.copy(), 109, 103, 103, 103, END).pieces == [Piece(0, 10, 15)]
    advanced(state, 108)
    assert state.allowed().tolist() == [101, 102]
    advanced(state, 102)
    assert state.pieces == [Piece(0, 5, 8)]
    assert advanced(state, 102, 102, END).pieces == [Piece(0, 5, 10)]


def test_clauses_that_are_alike_to_the_end_are_the_first_of_them() -> None:
    state = CopyState([sentence(*range(100, 105), *range(100, 105), clauses=(5,))], END, 40, trims=True)
    advanced(state, FIRST_MARKER, *range(100, 105))
    assert state.allowed().tolist() == [END, 100]
    assert advanced(state.copy(), END).pieces == [Piece(0, 0, 5)]
    assert advanced(state, 100).pieces == [Piece(0, 0, 6)]


def test_a_clause_too_short_is_no_piece() -> None:
    source = sentence(*range(100, 100 + 2 * MIN_PIECE_WORDS), clauses=(2, 2 * MIN_PIECE_WORDS - 2))
    assert source.begins() == [0, 2]
    assert not source.may_end(0, 2)
    assert source.may_end(0, 2 * MIN_PIECE_WORDS - 2)


@pytest.mark.parametrize(("max_words", "end"), [(40, 12), (12, 12), (11, 7), (7, 7), (6, 6), (3, 3), (1, 1)])
def test_a_sentence_too_long_is_cut_at_a_clause_else_at_a_word(max_words: int, end: int) -> None:
    source = sentence(*range(100, 112), clauses=(7,))
    assert source.last_end(0, max_words) == end
    state = advanced(CopyState([source], END, max_words), FIRST_MARKER, *range(100, 100 + end))
    assert state.allowed().tolist() == [END]


def test_only_later_sentences_that_still_fit_may_follow() -> None:
    sentences = [sentence(*[100] * 4, marker=FIRST_MARKER + i) for i in range(3)]
    sentences.append(sentence(*[100] * 3, marker=FIRST_MARKER + 3))
    state = advanced(CopyState(sentences, END, 11), FIRST_MARKER + 1, *[100] * 4)
    assert state.allowed().tolist() == [END, FIRST_MARKER + 2, FIRST_MARKER + 3]
    advanced(state, FIRST_MARKER + 2, *[100] * 4)
    assert state.allowed().tolist() == [END, FIRST_MARKER + 3]
    advanced(state, FIRST_MARKER + 3, *[100] * 3)
    assert state.allowed().tolist() == [END]


def test_a_run_is_the_rest_of_the_piece() -> None:
    sentences = [sentence(*range(100, 104)), sentence(*range(200, 210), marker=FIRST_MARKER + 1)]
    state = CopyState(sentences, END, 8)
    assert state.run() == []
    assert state.opening(1) == [FIRST_MARKER + 1, *range(200, 208)]
    assert advanced(state.copy(), FIRST_MARKER).run() == [*range(100, 104)]
    assert advanced(state.copy(), FIRST_MARKER + 1, 200, 201).run() == [*range(202, 208)]
    assert advanced(state, *state.opening(0)).run() == []


def test_a_copy_goes_its_own_way() -> None:
    state = advanced(CopyState([sentence(*range(100, 104))], END, 9), FIRST_MARKER, 100)
    twin = advanced(state.copy(), 101, 102, 103, END)
    assert twin.finished and not state.finished
    assert state.pieces == [Piece(0, 0, 1)]
    assert state.allowed().tolist() == [101]
