"""Engines that do not fit, or are not what was built, are refused unopened, and it is said what to run."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from qdts.errors import QdtsError, Unsupported, WeightsCorrupt, WeightsMissing
from qdts.models.runtimes.tensorrt.engines import Target, find_engines, load_plans
from qdts.models.runtimes.tensorrt.library import Library
from qdts.models.runtimes.tensorrt.runtime import Engines

SET = "engines/tensorrt_rtx-8.9-fp32"
COMMAND = re.escape('run `qdts train engines --config FILE` with library = "tensorrt_rtx", capabilities = ["8.9"]')


def edit(directory: Path, graph: str, **changes: Any) -> None:
    path = directory / SET / f"{graph}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_engines_that_fit_are_loaded_as_they_were_built(engines_dir: Path, target: Target) -> None:
    directory, plans = load_plans(engines_dir, target)
    assert directory == engines_dir / SET
    assert list(plans) == ["encoder", "start", "step"]
    assert all(plan.data == (directory / f"{graph}.plan").read_bytes() for graph, plan in plans.items())


Damage = Callable[[Path], None]


def flip_a_bit(directory: Path) -> None:
    path = directory / SET / "step.plan"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(directory: Path) -> None:
    path = directory / SET / "start.plan"
    path.write_bytes(path.read_bytes()[:-100])


def change_the_source(directory: Path) -> None:
    path = directory / "onnx/fp32/encoder.onnx"
    path.write_bytes(path.read_bytes() + b"\0")


REFUSED: dict[str, tuple[Damage, type[QdtsError], str]] = {
    "a bit flipped": (flip_a_bit, WeightsCorrupt, r"step\.plan is not what was built.*It was not opened"),
    "truncated": (truncate, WeightsCorrupt, r"start\.plan is not what was built: expected \d+ bytes.*found \d+"),
    "gone": (lambda model: (model / SET / "step.plan").unlink(), WeightsMissing, r"step\.plan is not there"),
    "another graph": (change_the_source, WeightsCorrupt, r"encoder\.onnx has changed since .*encoder\.plan was built"),
    "a graph elsewhere": (
        lambda model: edit(model, "step", source={"path": "../elsewhere.onnx", "sha256": "0"}),
        WeightsCorrupt,
        r"step\.plan names a graph outside of the model directory",
    ),
    "another version": (
        lambda model: edit(model, "step", version="1.6.0"),
        Unsupported,
        r"another version of that library: 1\.6\.0, here it is 1\.7\.1",
    ),
    "another library": (
        lambda model: edit(model, "step", library="tensorrt"),
        Unsupported,
        "another library: tensorrt, here it is tensorrt_rtx",
    ),
    "another precision": (lambda model: edit(model, "step", precision="int8"), Unsupported, "another precision: int8"),
    "another GPU": (
        lambda model: edit(model, "step", compute_capability="12.0", runs_on=["12.0"]),
        Unsupported,
        r"another GPU, of compute capability 12\.0; this one has 8\.9",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_does_not_fit_is_refused_unopened(
    engines_dir: Path, target: Target, library: Library, num_opened: Callable[[], int], kind: str
) -> None:
    damage, error, message = REFUSED[kind]
    damage(engines_dir)
    before = num_opened()
    with pytest.raises(error, match=f"(?s){message}.*{COMMAND}"):
        Engines.load(engines_dir, library, target, torch.device("cpu"))
    assert num_opened() == before


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"sha256": 5}'])
def test_a_description_that_says_nothing_is_refused(engines_dir: Path, target: Target, text: str) -> None:
    (engines_dir / SET / "start.json").write_text(text)
    with pytest.raises(WeightsCorrupt, match=r"start\.json does not describe a plan .*build the engines again"):
        load_plans(engines_dir, target)


def test_a_plan_without_a_description_is_not_trusted(engines_dir: Path, target: Target) -> None:
    (engines_dir / SET / "start.json").unlink()
    with pytest.raises(WeightsMissing, match=r"start\.json is not there: without it no plan is trusted"):
        load_plans(engines_dir, target)


def test_engines_for_other_gpus_alone_are_named(engines_dir: Path, target: Target) -> None:
    elsewhere = replace(target, compute_capability="9.0")
    with pytest.raises(Unsupported, match=r'there are: tensorrt_rtx-8\.9-fp32\. .*capabilities = \["9\.0"\]'):
        load_plans(engines_dir, elsewhere)


def test_engines_may_be_tried_on_a_gpu_that_was_named(engines_dir: Path, target: Target) -> None:
    for graph in ("encoder", "start", "step"):
        edit(engines_dir, graph, runs_on=["8.9", "9.0"])
    directory, plans = load_plans(engines_dir, replace(target, compute_capability="9.0"))
    assert directory.name == "tensorrt_rtx-8.9-fp32" and len(plans) == 3


def test_engines_of_the_gpu_itself_come_first(engines_dir: Path, target: Target) -> None:
    edit(engines_dir, "encoder", runs_on=["8.9", "12.0"])
    exact = engines_dir / "engines/tensorrt_rtx-12.0-fp32"
    shutil.copytree(engines_dir / SET, exact)
    assert find_engines(engines_dir / "engines", replace(target, compute_capability="12.0")) == exact


def test_a_model_without_its_graphs_loads(engines_dir: Path, target: Target) -> None:
    shutil.rmtree(engines_dir / "onnx")
    assert len(load_plans(engines_dir, target)[1]) == 3
