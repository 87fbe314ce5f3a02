"""The whole benchmark on the shipped sample is for full runs; here, how its parts are put together."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from qdts.loadtest.bench_peers import (
    BASE,
    SHIPPED,
    Plan,
    choose_systems,
    feed_forward,
    main,
    measure,
    parameters_m,
    work_directory,
)
from qdts.loadtest.peers.base import Role, System, Weights
from qdts.loadtest.peers.requests import Pair
from qdts.loadtest.peers.systems import ORACLE, OURS, PRODUCT, QUICK, SYSTEMS, llama_cpp_absence


def args(**values: object) -> argparse.Namespace:
    return argparse.Namespace(**{"only": None, "quick": False, "shape": SHIPPED, **values})


FAKE = """
from qdts.loadtest.peers.base import Written

class Fake:
    def __init__(self, directory, variant, num_threads):
        if variant == "broken":
            raise SystemExit(3)

    @classmethod
    def build(cls, directory, variant):
        assert (directory / "model.safetensors").is_file()

    def read(self, request):
        return None

    def write(self, known, request):
        return Written(tokens=[0] * request.num_tokens, num_steps=request.num_tokens)
"""


def fake_peer(name: str, variant: str = "int8", packages: tuple[str, ...] = ()) -> System:
    return System(name=name, engine="fake_peer:Fake", variant=variant, role=Role.PEER, packages=packages)


@pytest.mark.slow
def test_peers_are_compared_and_none_is_dropped_silently(
    weights: Weights, pairs: Sequence[Pair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fake_peer.py").write_text(FAKE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    own = [system for system in SYSTEMS if system.name in (ORACLE, OURS)]
    fakes = [
        fake_peer("openvino_like"),
        fake_peer("broken_like", "broken"),
        fake_peer("absent_like", packages=("no_such_engine",)),
    ]
    plan = Plan(weights=weights, systems=(*own, *fakes), num_threads=1, repeats=1)
    found = measure(plan, pairs, tmp_path / "work")
    assert found["absent"] == {
        "absent_like": "not installed: no_such_engine",
        "broken_like": "not loaded: broken_like ended with exit code 3",
    }
    assert set(found["systems"]) == {*(system.name for system in own), "openvino_like"}
    assert found["same_tokens"] is True
    same = {name: facts["same_tokens"] for name, facts in found["systems"].items()}
    assert (same[ORACLE], same["openvino_like"]) == (1.0, 0.0)
    assert (found["best_peer"], set(found["ratios"])) == ("openvino_like", {"openvino_like"})
    assert found["joint_vs_best_peer"] == found["ratios"]["openvino_like"]["joint"]["median"] < 1
    assert found["joint_vs_seed_shape"] is None
    json.dumps(found)


def test_all_run_unless_it_is_quick_or_they_are_named() -> None:
    assert choose_systems(args()) == SYSTEMS
    assert {system.name for system in choose_systems(args(quick=True))} == set(QUICK)
    assert [system.name for system in choose_systems(args(only=[OURS]))] == [OURS]


def test_random_weights_have_no_product() -> None:
    names = {system.name for system in choose_systems(args(shape=BASE))}
    assert PRODUCT not in names
    assert OURS in names


def test_parameters_are_counted_by_family(tmp_path: Path) -> None:
    (tmp_path / "decoder_only").mkdir()
    (tmp_path / "decoder_only" / "net.safetensors").write_bytes(bytes(6_000_000))
    assert parameters_m(tmp_path) == {"decoder_only": 1.5}


def test_llama_cpp_is_named_with_a_reason(model: Path) -> None:
    assert "gelu" in llama_cpp_absence(feed_forward(model))["llama_cpp"]
    assert "no adapter" in llama_cpp_absence("gated-gelu")["llama_cpp"]


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
