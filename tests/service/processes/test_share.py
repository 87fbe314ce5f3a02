"""Engines do not get in each other's way."""

import os
from typing import Any

import pytest

from qdts.errors import ConfigError
from qdts.service.processes.share import Share, own_share, share_of

CORES = frozenset(range(2, 12))


def shares(engines: int, **other: Any) -> list[Share]:
    settings: dict[str, Any] = {"runtime": "onnx", "num_threads": 0, "cores": CORES} | other
    return [share_of(index, engines, **settings) for index in range(engines)]


def test_one_engine_has_the_machine() -> None:
    assert shares(1) == [Share()]
    assert shares(1, num_threads=3) == [Share(num_threads=3)]


@pytest.mark.parametrize("engines", [2, 3, 5, 10])
def test_cores_are_shared_out_and_none_is_given_twice(engines: int) -> None:
    found = shares(engines)
    assert {len(share.cores) for share in found} == {len(CORES) // engines}
    assert len(frozenset[int]().union(*(share.cores for share in found))) == engines * (len(CORES) // engines)
    assert all(share.num_threads == len(share.cores) and share.device is None for share in found)


def test_more_engines_than_cores_are_kept_to_none() -> None:
    found = shares(12, cores=frozenset({0, 1}))
    assert all(share.num_threads == 1 for share in found)
    assert [share.cores for share in found] == [frozenset({0}), frozenset({1})] + 10 * [frozenset()]


def test_the_settings_threads_stay() -> None:
    assert {share.num_threads for share in shares(2, num_threads=7)} == {7}


@pytest.mark.parametrize("runtime", ["cuda", "tensorrt"])
def test_a_device_each(runtime: str) -> None:
    assert [share.device for share in shares(3, runtime=runtime)] == ["0", "1", "2"]
    assert [share.device for share in shares(2, runtime=runtime, visible="4, 7,9")] == ["4", "7"]
    assert all(not share.cores for share in shares(3, runtime=runtime))
    with pytest.raises(ConfigError, match=r"processes\.engines = 3: .* only 2 devices"):
        shares(3, runtime=runtime, visible="4,7")


def test_this_process_is_kept_to_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, environment = list[Any](), dict[str, str]()
    monkeypatch.setattr(os, "sched_setaffinity", lambda process, cores: kept.append(cores))
    Share(num_threads=1, cores=frozenset({1}), device="4").take(environment)
    assert (kept, environment) == ([frozenset({1})], {"CUDA_VISIBLE_DEVICES": "4"})
    Share().take(environment)
    assert len(kept) == 1


def test_what_this_process_may_use_is_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {4, 5, 6, 7})
    assert own_share(1, 2, runtime="onnx", num_threads=0) == Share(num_threads=2, cores=frozenset({6, 7}))
