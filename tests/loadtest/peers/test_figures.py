"""What is computed of the answers, by hand."""

import pytest

from qdts.loadtest.peers.base import Role, Scenario, System, Written
from qdts.loadtest.peers.figures import (
    describe,
    fastest,
    headline,
    quartiles,
    ratio_table,
    ratios,
    same_share,
    same_tokens,
)
from qdts.loadtest.peers.systems import ORACLE, OURS, SYSTEMS, UNDRAFTED
from qdts.loadtest.peers.turns import Row
from qdts.loadtest.peers.worker import Answer

BY_NAME = {system.name: system for system in SYSTEMS}


def make_row(system: System, joint: list[float], indexed: list[float], token: int = 7, num_steps: int = 2) -> Row:
    row = Row(system)
    for scenario, times in ((Scenario.JOINT, joint), (Scenario.INDEXED, indexed)):
        row.answers[scenario] = [
            Answer(written=Written(tokens=[token, token], num_steps=num_steps), ms=ms) for ms in times
        ]
    return row


@pytest.fixture
def rows() -> dict[str, Row]:
    made = {
        ORACLE: make_row(BY_NAME[ORACLE], [900, 900, 900], [300, 300, 300]),
        OURS: make_row(BY_NAME[OURS], [10, 20, 30], [1, 2, 3], num_steps=1),
        UNDRAFTED: make_row(BY_NAME[UNDRAFTED], [20, 20, 60], [2, 2, 2]),
        "ctranslate2_int8": make_row(BY_NAME["ctranslate2_int8"], [20, 60, 60], [], token=8),
        "openvino_int8": make_row(BY_NAME["openvino_int8"], [50, 70, 90], [40, 10, 9]),
        "onnxruntime_int8": make_row(BY_NAME["onnxruntime_int8"], [15, 30, 45], [4, 4, 9]),
        "seed_onnxruntime_int8": make_row(BY_NAME["seed_onnxruntime_int8"], [100, 100, 300], []),
    }
    return made


def test_quartiles_are_those_of_the_ratios() -> None:
    assert ratios([2.0, 9.0, 4.0], [1.0, 3.0, 8.0]) == [2.0, 3.0, 0.5]
    assert quartiles([2.0, 3.0, 0.5]) == {"median": 2.0, "low": 1.25, "high": 2.5}


def test_the_fastest_has_the_lowest_median(rows: dict[str, Row]) -> None:
    names = ["ctranslate2_int8", "openvino_int8"]
    assert fastest(rows, names, Scenario.JOINT) == "ctranslate2_int8"
    # It cannot be given the document's states, so its time with encoding counts.
    assert fastest(rows, names, Scenario.INDEXED) == "openvino_int8"
    assert fastest(rows, [], Scenario.JOINT) is None


def test_the_headline(rows: dict[str, Row]) -> None:
    found = headline(rows)
    assert (found["best_peer"], found["best_peer_indexed"]) == ("ctranslate2_int8", "openvino_int8")
    assert found["joint_vs_best_peer"] == 2.0  # of 2, 3, 2
    assert found["indexed_vs_best_peer"] == 5.0  # of 40, 5, 3
    assert found["indexed_vs_best_cold_peer"] == 20.0  # of 20, 30, 20
    assert found["joint_undrafted_vs_best_peer"] == 1.0  # of 1, 3, 1
    assert found["joint_vs_seed_shape"] == 10.0  # of 10, 5, 10
    assert found["indexed_vs_seed_shape"] == 100.0  # of 100, 50, 100
    assert (found["best_of_all"], found["joint_vs_best_of_all"]) == ("onnxruntime_int8", 1.5)
    assert found["indexed_vs_best_of_all"] == 3.0  # of 4, 2, 3


def test_without_peers_there_is_no_ratio(rows: dict[str, Row]) -> None:
    found = headline({name: rows[name] for name in (ORACLE, OURS)})
    assert {found[name] for name in ("joint_vs_best_peer", "indexed_vs_best_peer", "best_peer")} == {None}
    assert found["joint_vs_seed_shape"] is None


def test_equality_is_with_the_oracle(rows: dict[str, Row]) -> None:
    assert same_share(rows[OURS], rows) == 1.0
    assert same_share(rows["ctranslate2_int8"], rows) == 0.0
    assert same_share(rows["seed_onnxruntime_int8"], rows) is None  # nobody asked its oracle
    rows["openvino_int8"].answers[Scenario.INDEXED][0].written.tokens[0] = 1
    assert same_share(rows["openvino_int8"], rows) == round(5 / 6, 4)


def test_only_fp32_must_be_equal(rows: dict[str, Row]) -> None:
    assert same_tokens(rows)
    rows["onnxruntime_fp32"] = make_row(BY_NAME["onnxruntime_fp32"], [1, 1, 1], [1, 1, 1], token=8)
    assert not same_tokens(rows)


def test_a_row_of_the_report(rows: dict[str, Row]) -> None:
    found = describe(rows[OURS], rows, peak_mb=120.4)
    assert found["joint_ms"] == {"median": 20.0, "low": 15.0, "high": 25.0}
    assert (found["joint_requests_per_s"], found["indexed_requests_per_s"]) == (50.0, 500.0)
    assert (found["tokens"], found["tokens_per_step"], found["peak_memory_mb"]) == (2.0, 2.0, 120)
    assert "indexed_ms" not in describe(rows["ctranslate2_int8"], rows, peak_mb=1.0)


def test_the_table_compares_equal_work_alone(rows: dict[str, Row]) -> None:
    rows["ours_copy"] = make_row(BY_NAME["ours_copy"], [1, 1, 1], [1, 1, 1])
    assert rows["ours_copy"].system.role is Role.PRODUCT
    table = ratio_table(rows)
    assert set(table) == {"ctranslate2_int8", "openvino_int8", "onnxruntime_int8", "seed_onnxruntime_int8"}
    assert table["openvino_int8"]["joint"]["median"] == 3.5
