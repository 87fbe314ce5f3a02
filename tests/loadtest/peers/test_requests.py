"""Requests are long enough, and alike in both scenarios."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from qdts.loadtest.peers.base import BATCH_SIZE, Scenario
from qdts.loadtest.peers.requests import RequestConfig, Round, long_text, make_batches, make_rounds, open_builder
from qdts.models.evaluation.rows import EvalRow
from qdts.models.tokenizer import QUERY


def test_a_short_document_goes_on_with_the_next_and_begins_again(rows: Sequence[EvalRow]) -> None:
    texts = [row.document for row in rows]
    assert long_text(rows, 1, 1) == texts[1]
    assert long_text(rows, 1, len(texts[1]) + 1) == f"{texts[1]}\n\n{texts[2]}"
    whole = long_text(rows, 2, 4 * max(map(len, texts)))
    assert whole.startswith(f"{texts[2]}\n\n{texts[0]}\n\n{texts[1]}\n\n{texts[2]}")


def test_a_long_document_fills_the_input(model: Path, rows: Sequence[EvalRow]) -> None:
    config = RequestConfig(num_tokens=3)
    [first, *_] = make_rounds(open_builder(model), rows, config)
    assert all(400 < len(request.encoder_ids) <= 512 for (request,) in first.values())
    assert all(request.num_tokens == 3 for (request,) in first.values())


def test_only_joint_reads_the_query_in_the_encoder(rounds: Sequence[Round]) -> None:
    for one in rounds:
        (joint,), (indexed,) = one[Scenario.JOINT], one[Scenario.INDEXED]
        assert QUERY in joint.encoder_ids
        assert QUERY not in indexed.encoder_ids
        assert (joint.prefix == indexed.prefix).all()


def test_a_batch_is_one_query_on_the_documents_of_the_rows(model: Path, rows: Sequence[EvalRow]) -> None:
    builder, config = open_builder(model), RequestConfig(num_tokens=3, min_chars=120)
    many = [*rows] * 4
    first, second = make_batches(builder, many, config, 2)
    singles = list(make_rounds(builder, many, config))
    for batch, begin in ((first[Scenario.BATCH8], 0), (second[Scenario.BATCH8], BATCH_SIZE)):
        assert len(batch) == BATCH_SIZE
        assert (batch[0].encoder_ids == singles[begin][Scenario.JOINT][0].encoder_ids).all()
        assert {request.prompt.query_ids.tobytes() for request in batch} == {batch[0].prompt.query_ids.tobytes()}
        assert len({len(request.prefix) for request in batch}) == 1
        texts = [request.prompt.text for request in batch]
        rest = [singles[(begin + place) % len(many)][Scenario.JOINT][0].prompt.text for place in range(BATCH_SIZE)]
        assert texts == rest


def test_documents_with_too_few_sentences_are_passed_over(model: Path, rows: Sequence[EvalRow]) -> None:
    short = replace(rows[0], document="One sentence alone.")
    config = RequestConfig(num_tokens=3, min_chars=1)
    mixed = [rows[2], short, *[rows[2]] * BATCH_SIZE]
    [made] = make_batches(open_builder(model), mixed, config, 1)
    assert {request.prompt.text for request in made[Scenario.BATCH8]} == {rows[2].document}
    with pytest.raises(ValueError, match="a batch needs 8 rows"):
        list(make_batches(open_builder(model), mixed[:4], config, 1))


def test_a_number_out_of_bounds_is_named() -> None:
    with pytest.raises(ValueError, match="num_tokens .* is 0"):
        RequestConfig(num_tokens=0)
