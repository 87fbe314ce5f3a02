"""What is computed of the answers, by hand."""

import pytest

from qdts.loadtest.peers.base import BATCH_SIZE, Scenario, System, Text, Way, Written
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
from qdts.loadtest.peers.systems import ORACLE, OURS, SEED_ORACLE, SYSTEMS, UNDRAFTED
from qdts.loadtest.peers.turns import Row
from qdts.loadtest.peers.worker import Answer

BY_NAME = {system.name: system for system in SYSTEMS}


def make_row(
    system: System,
    joint: list[float],
    indexed: list[float],
    batch: list[float] | None = None,
    token: int = 7,
    num_steps: int = 2,
) -> Row:
    row = Row(system)

    def write(number: int) -> list[Written]:
        return [Written(tokens=[token, token], num_steps=num_steps) for _ in range(number)]

    for scenario, times in ((Scenario.JOINT, joint), (Scenario.INDEXED, indexed)):
        row.answers[scenario] = [Answer(written=write(1), ms=ms, peak_mb=ms + 100.4) for ms in times]
    row.answers[Scenario.BATCH8] = [Answer(written=write(BATCH_SIZE), ms=ms, way=Way.IN_TURN) for ms in batch or []]
    return row


@pytest.fixture
def rows() -> dict[str, Row]:
    made = {
        ORACLE: make_row(BY_NAME[ORACLE], [900, 900, 900], [300, 300, 300], [3000, 3000]),
        OURS: make_row(BY_NAME[OURS], [10, 20, 30], [1, 2, 3], [80, 100], num_steps=1),
        UNDRAFTED: make_row(BY_NAME[UNDRAFTED], [20, 20, 60], [2, 2, 2], [160, 400]),
        "ctranslate2_int8": make_row(BY_NAME["ctranslate2_int8"], [20, 60, 60], [], [240, 400], token=8),
        "openvino_int8": make_row(BY_NAME["openvino_int8"], [50, 70, 90], [40, 10, 9], [320, 350]),
        "onnxruntime_int8": make_row(BY_NAME["onnxruntime_int8"], [15, 30, 45], [4, 4, 9], [120, 200]),
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


def test_who_was_not_asked_is_not_the_fastest(rows: dict[str, Row]) -> None:
    names = ["seed_onnxruntime_int8", "openvino_int8"]
    assert fastest(rows, names, Scenario.BATCH8) == "openvino_int8"
    assert fastest(rows, names[:1], Scenario.BATCH8) is None


def test_the_headline(rows: dict[str, Row]) -> None:
    found = headline(rows)
    assert (found["best_peer"], found["best_warm_peer"]) == ("ctranslate2_int8", "openvino_int8")
    assert found["joint_vs_best_peer"] == 2.0  # of 2, 3, 2
    assert found["indexed_vs_best_peer"] == 20.0  # the best peer encodes: of 20, 30, 20
    assert found["indexed_vs_best_warm_peer"] == 5.0  # of 40, 5, 3
    assert found["joint_undrafted_vs_best_peer"] == 1.0  # of 1, 3, 1
    assert found["indexed_undrafted_vs_best_peer"] == 30.0  # of 10, 30, 30
    assert found["joint_vs_seed_shape"] == 10.0  # of 10, 5, 10
    assert found["indexed_vs_seed_shape"] == 100.0  # of 100, 50, 100
    assert (found["best_of_all"], found["joint_vs_best_of_all"]) == ("onnxruntime_int8", 1.5)
    assert found["indexed_vs_best_of_all"] == 15.0  # of 15, 15, 15
    assert found["indexed_vs_best_warm_of_all"] == 3.0  # of 4, 2, 3


def test_batches_are_compared_with_the_best_at_batches(rows: dict[str, Row]) -> None:
    found = headline(rows)
    assert (found["best_peer_batch8"], found["best_of_all_batch8"]) == ("ctranslate2_int8", "onnxruntime_int8")
    assert found["batch8_vs_best_peer"] == 3.5  # of 3, 4
    assert found["batch8_undrafted_vs_best_peer"] == 1.25  # of 1.5, 1
    assert found["batch8_vs_best_of_all"] == 1.75  # of 1.5, 2
    for row in rows.values():
        row.answers[Scenario.BATCH8].clear()
    assert headline(rows)["batch8_vs_best_peer"] is None


def test_without_peers_there_is_no_ratio(rows: dict[str, Row]) -> None:
    found = headline({name: rows[name] for name in (ORACLE, OURS)})
    assert {found[name] for name in ("joint_vs_best_peer", "indexed_vs_best_peer", "best_peer")} == {None}
    assert found["joint_vs_seed_shape"] is None


def test_equality_is_with_the_oracle(rows: dict[str, Row]) -> None:
    assert same_share(rows[OURS], rows) == 1.0
    assert same_share(rows["ctranslate2_int8"], rows) == 0.0
    assert same_share(rows["seed_onnxruntime_int8"], rows) is None  # nobody asked its oracle
    rows["openvino_int8"].answers[Scenario.INDEXED][0].written[0].tokens[0] = 1
    assert same_share(rows["openvino_int8"], rows) == round(21 / 22, 4)


def test_only_fp32_must_be_equal(rows: dict[str, Row]) -> None:
    assert same_tokens(rows)
    rows["onnxruntime_fp32"] = make_row(BY_NAME["onnxruntime_fp32"], [1, 1, 1], [1, 1, 1], token=8)
    assert not same_tokens(rows)


def test_a_row_of_the_report(rows: dict[str, Row]) -> None:
    found = describe(rows[OURS], rows)
    assert found["joint_ms"] == {"median": 20.0, "low": 15.0, "high": 25.0}
    assert (found["joint_requests_per_s"], found["indexed_requests_per_s"]) == (50.0, 500.0)
    assert (found["batch8_ms"]["median"], found["batch8_requests_per_s"]) == (90.0, 88.89)
    assert (found["tokens"], found["tokens_per_step"], found["peak_memory_mb"]) == (2.0, 2.0, 130)
    assert (found["batch8_tokens_per_step"], found["batch8_ways"]) == (2.0, {"in_turn": 2})
    assert "indexed_ms" not in describe(rows["ctranslate2_int8"], rows)
    assert not any("batch8" in name for name in describe(rows["seed_onnxruntime_int8"], rows))


def test_the_table_holds_everyone_else(rows: dict[str, Row]) -> None:
    table = ratio_table(rows)
    assert set(table) == {"ctranslate2_int8", "openvino_int8", "onnxruntime_int8", "seed_onnxruntime_int8"}
    assert table["openvino_int8"]["joint"]["median"] == 3.5
    assert table["openvino_int8"]["batch8"]["median"] == 3.75
    assert "batch8" not in table["seed_onnxruntime_int8"]


def test_who_writes_freely_is_not_compared_with_summaries(rows: dict[str, Row]) -> None:
    rows[SEED_ORACLE] = make_row(BY_NAME[SEED_ORACLE], [1, 1, 1], [])
    assert same_share(rows["ctranslate2_int8"], rows) == 0.0
    for row in rows.values():
        row.text = Text.SUMMARY
    assert same_share(rows["ctranslate2_int8"], rows) is None
    assert same_share(rows[OURS], rows) == 1.0
    # The seed's own oracle writes freely, too.
    assert same_share(rows["seed_onnxruntime_int8"], rows) == 1.0
