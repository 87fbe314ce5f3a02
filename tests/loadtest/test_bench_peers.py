"""The whole benchmark on the shipped sample is for full runs; here, how its parts are put together."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from qdts.loadtest.bench_peers import (
    BATCHES,
    SHIPPED,
    Plan,
    choose_rounds,
    choose_systems,
    main,
    measure,
    parameters_m,
    work_directory,
)
from qdts.loadtest.peers.base import BATCH_SIZE, Request, Role, Scenario, System, Text, Way, Weights
from qdts.loadtest.peers.requests import Round
from qdts.loadtest.peers.systems import DRAFT_CAP, ORACLE, OURS, QUICK, QUICK_SEED, SYSTEMS

# What others read from the JSON
PROMISED = {
    "joint_vs_best_peer",
    "indexed_vs_best_peer",
    "joint_vs_seed_shape",
    "indexed_vs_seed_shape",
    "same_tokens",
    "batch8_vs_best_peer",
    "indexed_vs_best_warm_peer",
    "tokens_per_step",
    "output_tokens",
}
DEFAULTS = {
    "only": None,
    "quick": False,
    "shape": SHIPPED,
    "draft": DRAFT_CAP,
    "data": None,
    "rows": 2,
    "batches": None,
    "tokens": 5,
    "text": None,
}


def args(**values: object) -> argparse.Namespace:
    return argparse.Namespace(**{**DEFAULTS, **values})


FAKE = """
from qdts.loadtest.peers.base import CannotBuild, Written

class Fake:
    def __init__(self, directory, variant, num_threads):
        if variant == "broken":
            raise SystemExit(3)

    @classmethod
    def build(cls, directory, variant):
        assert (directory / "model.safetensors").is_file()
        if variant == "refused":
            raise CannotBuild("no such layer")

    def read(self, requests):
        return None

    def write(self, known, requests):
        return [Written(tokens=[0] * one.num_tokens, num_steps=one.num_tokens) for one in requests]
"""


def fake_peer(name: str, variant: str = "int8", packages: tuple[str, ...] = ()) -> System:
    ways = (Way.WHOLE, Way.PARALLEL)
    return System(name=name, engine="fake_peer:Fake", variant=variant, role=Role.PEER, packages=packages, ways=ways)


@pytest.fixture
def both_texts(
    rounds: Sequence[Round],
    batch: tuple[Request, ...],
    summaries: Sequence[Request],
    summary_batch: tuple[Request, ...],
) -> dict[Text, list[Round]]:
    to_summarize = [
        {Scenario.JOINT: (joint,), Scenario.INDEXED: (indexed,)}
        for joint, indexed in zip(summaries[::2], summaries[1::2], strict=True)
    ]
    return {
        Text.SUMMARY: [*to_summarize, {Scenario.BATCH8: summary_batch}],
        Text.FREE: [*rounds, {Scenario.BATCH8: batch}],
    }


@pytest.mark.slow
def test_peers_are_compared_and_none_is_dropped_silently(
    weights: Weights,
    both_texts: dict[Text, list[Round]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "fake_peer.py").write_text(FAKE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    own = [system for system in SYSTEMS if system.name in (ORACLE, OURS)]
    fakes = [
        fake_peer("openvino_like"),
        fake_peer("broken_like", "broken"),
        fake_peer("refused_like", "refused"),
        fake_peer("absent_like", packages=("no_such_engine",)),
    ]
    plan = Plan(weights=weights, systems=(*own, *fakes), num_threads=1, repeats=1)
    found = measure(plan, both_texts, tmp_path / "work")
    assert found["absent"] == {
        "absent_like": "not installed: no_such_engine",
        "broken_like": "not loaded: broken_like ended with exit code 3",
        "refused_like": "no such layer",
    }
    assert set(found["systems"]) == {*(system.name for system in own), "openvino_like"}
    assert found["same_tokens"] is found["free_same_tokens"] is True
    assert found["free_output_tokens"]["median"] == 12
    lengths = {name: facts["tokens"] for name, facts in found["systems"].items()}
    assert lengths[ORACLE] == lengths["openvino_like"] == found["output_tokens"]["median"] > 12
    same = {name: facts["same_tokens"] for name, facts in found["systems"].items()}
    assert (same[ORACLE], same["openvino_like"]) == (1.0, 0.0)
    assert (found["best_peer"], set(found["ratios"])) == ("openvino_like", {"openvino_like"})
    assert found["joint_vs_best_peer"] == found["ratios"]["openvino_like"]["joint"]["median"] < 1
    assert found["joint_vs_seed_shape"] is None
    assert found["batch8_vs_best_peer"] == found["ratios"]["openvino_like"]["batch8"]["median"] < 1
    assert sum(found["systems"]["openvino_like"]["batch8_ways"].values()) == found["batches"] == 1
    assert (found["documents"], found["systems"][OURS]["batch8_ways"]) == (3, {"whole": 1})
    assert found["free_joint_vs_best_peer"] == found["free_ratios"]["openvino_like"]["joint"]["median"]
    assert {*PROMISED, *(f"free_{name}" for name in PROMISED)} <= json.loads(json.dumps(found)).keys()


def test_all_run_unless_it_is_quick_or_they_are_named(tmp_path: Path) -> None:
    assert choose_systems(args()) == SYSTEMS
    assert {system.name for system in choose_systems(args(quick=True), tmp_path)} == {*QUICK, QUICK_SEED}
    assert [system.name for system in choose_systems(args(only=[OURS]))] == [OURS]


def test_the_cap_on_drafts_is_ours_alone() -> None:
    changed = [(old, new) for old, new in zip(SYSTEMS, choose_systems(args(draft=3)), strict=True) if old != new]
    assert [(old.name, new.variant) for old, new in changed] == [(OURS, "int8_draft3")]


def test_documents_come_before_batches_and_a_quick_run_has_none(model: Path) -> None:
    rounds = choose_rounds(args(batches=1), model)[Text.FREE]
    assert [set(one) for one in rounds] == [{Scenario.JOINT, Scenario.INDEXED}] * 2 + [{Scenario.BATCH8}]
    assert len({request.encoder_ids.tobytes() for request in rounds[-1][Scenario.BATCH8]}) == BATCH_SIZE
    assert all(Scenario.BATCH8 not in one for one in choose_rounds(args(quick=True), model)[Text.SUMMARY])
    assert sum(Scenario.BATCH8 in one for one in choose_rounds(args(), model)[Text.SUMMARY]) == BATCHES


def test_both_texts_are_written_unless_it_is_quick_or_one_is_named(model: Path) -> None:
    assert set(choose_rounds(args(batches=0), model)) == {Text.SUMMARY, Text.FREE}
    assert set(choose_rounds(args(quick=True), model)) == {Text.SUMMARY}
    assert set(choose_rounds(args(quick=True, text="both"), model)) == {Text.SUMMARY, Text.FREE}
    [(text, rounds)] = choose_rounds(args(batches=0, text="free"), model).items()
    assert (
        {request.text for one in rounds for requests in one.values() for request in requests} == {text} == {Text.FREE}
    )


def test_parameters_are_counted_by_family(tmp_path: Path) -> None:
    (tmp_path / "decoder_only").mkdir()
    (tmp_path / "decoder_only" / "net.safetensors").write_bytes(bytes(6_000_000))
    assert parameters_m(tmp_path) == {"decoder_only": 1.5}


def test_a_work_directory_goes_unless_it_was_named(tmp_path: Path) -> None:
    with work_directory(None) as scratch:
        assert scratch.is_dir()
    assert not scratch.is_dir()
    with work_directory(tmp_path / "kept" / "here") as kept:
        assert kept.is_dir()
    assert kept.is_dir()


def test_an_unknown_system_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "abacus"])
    assert "abacus" in capsys.readouterr().err
