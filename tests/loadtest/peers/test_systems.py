"""The table of systems."""

from dataclasses import replace

from qdts.loadtest.peers.base import Family, Role, Way
from qdts.loadtest.peers.systems import JUDGED, QUICK, SYSTEMS, split_absent


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


def test_a_quick_run_has_what_the_headline_needs() -> None:
    chosen = [system for system in SYSTEMS if system.name in QUICK]
    assert len(chosen) == len(QUICK)
    assert {system.role for system in chosen} >= {Role.ORACLE, Role.OURS, Role.PEER, Role.SEED}
    assert any(system.name.startswith(JUDGED) for system in chosen)


def test_what_is_not_installed_is_named() -> None:
    there, gone = replace(SYSTEMS[0], packages=("numpy",)), replace(SYSTEMS[1], packages=("numpy", "no_such_engine"))
    present, absent = split_absent([there, gone])
    assert present == [there]
    assert absent == {gone.name: "not installed: no_such_engine"}
