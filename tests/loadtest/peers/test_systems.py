"""The table of systems."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from qdts.loadtest.peers.base import Family, Role, Way
from qdts.loadtest.peers.systems import JUDGED, QUICK_SEED, SYSTEMS, quick_systems, split_absent


def test_names_are_unique_and_every_engine_is_there() -> None:
    names = [system.name for system in SYSTEMS]
    assert len(set(names)) == len(names)
    for system in SYSTEMS:
        engine = system.load()
        assert all(callable(getattr(engine, method)) for method in ("build", "read", "write"))
        assert Way.JOINED not in system.ways or callable(engine.join)


def test_all_but_the_decoder_only_shape_are_asked_for_batches() -> None:
    assert {system.family for system in SYSTEMS if not system.ways} == {Family.DECODER_ONLY}
    assert {system.family for system in SYSTEMS if system.ways} == {Family.ENCODER_DECODER}


def test_a_quick_run_has_what_the_headline_needs(tmp_path: Path) -> None:
    names = quick_systems(tmp_path / "no results")
    chosen = [system for system in SYSTEMS if system.name in names]
    assert len(chosen) == len(names)
    assert {system.role for system in chosen} >= {Role.ORACLE, Role.OURS, Role.PEER, Role.SEED}
    assert any(system.name.startswith(JUDGED) for system in chosen)


@pytest.mark.parametrize(
    ("named", "asked"),
    [
        ("seed_ctranslate2_int8", "seed_ctranslate2_int8"),
        ("seed_openvino_ptq", QUICK_SEED),
        ("seed_abacus", QUICK_SEED),
    ],
)
def test_a_quick_run_asks_the_seeds_fastest_engine(tmp_path: Path, named: str, asked: str) -> None:
    results = tmp_path / "peers.json"
    results.write_text(json.dumps({"figures": {"best_seed_engine": named}}), encoding="utf-8")
    assert [name for name in quick_systems(results) if name.startswith("seed_")] == [asked]


def test_what_is_not_installed_is_named() -> None:
    there, gone = replace(SYSTEMS[0], packages=("numpy",)), replace(SYSTEMS[1], packages=("numpy", "no_such_engine"))
    present, absent = split_absent([there, gone])
    assert present == [there]
    assert absent == {gone.name: "not installed: no_such_engine"}
