"""Requests are long enough, and alike in both scenarios."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from qdts.loadtest.peers.base import Scenario
from qdts.loadtest.peers.requests import Pair, RequestConfig, long_text, make_requests, open_builder
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
    [first, *_] = make_requests(open_builder(model), rows, config)
    assert all(400 < len(request.encoder_ids) <= 512 for request in first.values())
    assert all(request.num_tokens == 3 for request in first.values())


def test_only_joint_reads_the_query_in_the_encoder(pairs: Sequence[Pair]) -> None:
    for pair in pairs:
        assert QUERY in pair[Scenario.JOINT].encoder_ids
        assert QUERY not in pair[Scenario.INDEXED].encoder_ids
        assert (pair[Scenario.JOINT].prefix == pair[Scenario.INDEXED].prefix).all()


def test_a_number_out_of_bounds_is_named() -> None:
    with pytest.raises(ValueError, match="num_tokens .* is 0"):
        RequestConfig(num_tokens=0)
