"""Engines built with tensorrt_rtx, which needs no GPU, for an L20 (8.9); without it, what is refused beforehand."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import onnx
import pytest
import torch

from qdts.errors import Unsupported, WeightsMissing
from qdts.models import manifest
from qdts.models.export.builder import Built, Job, PlanBuilder
from qdts.models.export.config import CalibrationConfig, EnginesConfig, EngineShapes, ExplicitConfig
from qdts.models.export.engines import build_engines, current_capability
from qdts.models.export.explicit import write_explicit
from qdts.models.manifest import Description
from qdts.models.runtimes.tensorrt.engines import Target, load_plans
from qdts.models.runtimes.tensorrt.library import Library, load_library
from qdts.models.runtimes.tensorrt.plan import Range

GRAPHS = ("encoder", "start", "step")
SHAPES = EngineShapes(max_batch=16, max_document=256, max_step=32, max_slots=128)
DTYPES = {1: "float32", 7: "int64", 9: "bool", 10: "float16"}
CACHES = ("document.", "past.", "new.")
Build = Callable[[str], Path]


@pytest.fixture(scope="module")
def rtx() -> Library:
    try:
        return load_library(("tensorrt_rtx",))
    except Unsupported:
        pytest.skip("tensorrt_rtx is not installed: pip install tensorrt-rtx")


@pytest.fixture(scope="module")
def build(rtx: Library, exported: Path) -> Iterator[Build]:
    """The directory of the engines of a precision, built once, in a model directory with a manifest."""
    write_explicit(ExplicitConfig(model=exported, calibration=CalibrationConfig(num_rows=1, num_threads=1)))
    manifest.write(exported, Description(name="tiny", version="1", licence="-"))
    built: dict[str, Path] = {}

    def of(precision: str) -> Path:
        if precision not in built:
            config = EnginesConfig(
                model=exported, library="tensorrt_rtx", capabilities=("8.9",), precisions=(precision,), shapes=SHAPES
            )
            [built[precision]] = build_engines(config)
        return built[precision]

    yield of
    (exported / manifest.MANIFEST).unlink()


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_engines_take_what_their_graphs_take(build: Build, exported: Path, precision: str) -> None:
    directory = build(precision)
    for name in GRAPHS:
        described = json.loads((directory / f"{name}.json").read_text())
        graph = onnx.load(exported / "onnx/fp32" / f"{name}.onnx").graph
        for side, tensors in (("inputs", graph.input), ("outputs", graph.output)):
            assert [tensor["name"] for tensor in described[side]] == [tensor.name for tensor in tensors]
            for ours, theirs in zip(described[side], tensors, strict=True):
                kind = theirs.type.tensor_type
                assert ours["shape"] == [-1 if axis.dim_param else axis.dim_value for axis in kind.shape.dim]
                is_half = precision == "fp16" and ours["name"].startswith(CACHES)
                assert ours["dtype"] == ("float16" if is_half else DTYPES[kind.elem_type])
        data = (directory / f"{name}.plan").read_bytes()
        assert all(tensor["name"].encode() in data for tensor in described["inputs"])


def test_profiles_reach_from_one_to_what_was_asked_for(build: Build) -> None:
    [profile] = json.loads((build("fp32") / "step.json").read_text())["profiles"]
    assert [profile["embedded"][end] for end in ("least", "usual", "most")] == [[1, 1, 32], [8, 8, 32], [16, 32, 32]]
    assert [profile["visible"][end] for end in ("least", "usual", "most")] == [[1, 1, 1], [8, 8, 8], [16, 32, 32]]
    assert profile["mask"]["most"] == [16, 256]
    assert profile["past.0.key"]["most"] == [16, 4, 128, 8]
    assert profile["document.1.value"]["usual"] == [8, 4, 256, 8]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8", "fp8"])
def test_engines_are_what_a_gpu_like_that_would_load(
    build: Build, rtx: Library, exported: Path, precision: str
) -> None:
    build(precision)
    target = Target(library=rtx.name, version=rtx.version, compute_capability="8.9", precision=precision)
    directory, plans = load_plans(exported, target)
    assert all(len(plan.data) == plan.info.bytes for plan in plans.values())
    source = {"fp32": "fp32", "fp16": "fp32", "int8": "int8_qdq", "fp8": "fp8_qdq"}[precision]
    assert plans["step"].info.source.path == f"onnx/{source}/step.onnx"
    assert (directory / "embedding.safetensors").read_bytes() == (
        exported / "onnx" / source / "embedding.safetensors"
    ).read_bytes()


def test_a_capability_that_is_not_listed_names_those_that_are(rtx: Library, exported: Path) -> None:
    config = EnginesConfig(model=exported, library="tensorrt_rtx", capabilities=("8.9", "9.0"))
    with pytest.raises(Unsupported, match=r"capability 9\.0; it lists .*8\.0, .*8\.9.*name 9\.0 in try_on"):
        build_engines(config)
    assert not (exported / "engines/tensorrt_rtx-9.0-fp16").exists()


def test_what_the_library_cannot_do_is_said_in_its_words(rtx: Library, build: Build, exported: Path) -> None:
    """FP8 came with 8.9."""
    build("fp8")
    config = EnginesConfig(model=exported, library="tensorrt_rtx", capabilities=("8.0",), precisions=("fp8",))
    with pytest.raises(Unsupported, match=r"does not build the graph for 8\.0: the library says: .*fp8"):
        build_engines(config)
    assert not (exported / "engines/tensorrt_rtx-8.0-fp8").exists()


def test_what_is_no_graph_is_refused(rtx: Library) -> None:
    profile = {"x": Range(least=(1,), usual=(1,), most=(1,))}
    job = Job(source=Path("x"), graph=b"no graph", compute_capability="8.9", profile=profile, uses_tf32=True)
    with pytest.raises(Unsupported, match="tensorrt_rtx cannot read the graph"):
        PlanBuilder(rtx).build(job)


def test_a_manifest_lists_the_engines(build: Build, exported: Path) -> None:
    """A directory with a file that is not listed would be refused."""
    build("fp16")
    build("fp32")
    files = manifest.verify(exported).files
    assert {f"engines/tensorrt_rtx-8.9-{precision}/step.plan" for precision in ("fp16", "fp32")} <= set(files)


def pretend(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that could build, so that what is asked before it builds is met."""
    logger = type("ILogger", (), {"Severity": SimpleNamespace(INTERNAL_ERROR=0, ERROR=1)})
    monkeypatch.setitem(sys.modules, "tensorrt", cast(Any, SimpleNamespace(__version__="11.4", ILogger=logger)))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_tensorrt_builds_for_the_gpu_it_runs_on(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    config = EnginesConfig(model=exported, library="tensorrt", capabilities=("9.0",))
    with pytest.raises(Unsupported, match=r"of the machine it runs on, and here is none: for 9\.0 .*tensorrt_rtx"):
        build_engines(config)
    assert current_capability() is None
    with pytest.raises(Unsupported, match='asks for this machine\'s GPU, and there is none: name one, such as "8.9"'):
        build_engines(EnginesConfig(model=exported, library="tensorrt"))


def test_a_release_without_fp32_graphs_is_exported_anew(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[Job] = []

    def build(self: PlanBuilder, job: Job) -> Built:
        jobs.append(job)
        return Built(data=b"plan", inputs=(), outputs=())

    pretend(monkeypatch)
    monkeypatch.setattr("qdts.models.export.engines.current_capability", lambda: "9.0")
    monkeypatch.setattr(PlanBuilder, "build", build)
    for name in ("config.json", "model.safetensors"):
        shutil.copyfile(exported / name, tmp_path / name)
    [directory] = build_engines(EnginesConfig(model=tmp_path, library="tensorrt", precisions=("fp32",)))
    assert [job.graph for job in jobs] == [(exported / f"onnx/fp32/{graph}.onnx").read_bytes() for graph in GRAPHS]
    assert not any(job.uses_tf32 for job in jobs)
    assert not (tmp_path / "onnx").exists()
    assert directory.name == "tensorrt-9.0-fp32" and (directory / "embedding.safetensors").is_file()


class TimedConfig:
    """A builder's configuration that remembers what was timed."""

    timings = b""
    cleared: tuple[str, ...] = ()

    def clear_flag(self, flag: str) -> None:
        self.cleared = (*self.cleared, flag)

    def create_timing_cache(self, known: bytes) -> bytes:
        return known

    def set_timing_cache(self, cache: bytes, ignore_mismatch: bool) -> None:
        assert not ignore_mismatch
        self.timings = cache + b"!"

    def get_timing_cache(self) -> Any:
        return SimpleNamespace(serialize=lambda: self.timings)

    def add_optimization_profile(self, profile: Any) -> None: ...


def test_tensorrt_keeps_what_it_timed_for_the_next_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    library, config = load_library(("tensorrt",)), TimedConfig()
    builder = SimpleNamespace(
        create_network=lambda flags: SimpleNamespace(num_inputs=0, num_outputs=0),
        create_builder_config=lambda: config,
        create_optimization_profile=lambda: None,
        build_serialized_network=lambda network, config: b"plan",
    )
    library.module.Builder = lambda logger: builder
    library.module.OnnxParser = lambda network, logger: SimpleNamespace(parse=lambda data: True)
    library.module.NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=0)
    library.module.BuilderFlag = SimpleNamespace(TF32="TF32")
    job = Job(
        source=Path("x"),
        graph=b"",
        compute_capability="9.0",
        profile={},
        uses_tf32=False,
        timing_cache=tmp_path / "9.0.timing",
    )
    for times in (1, 2):
        assert PlanBuilder(library).build(job).data == b"plan"
        assert (tmp_path / "9.0.timing").read_bytes() == b"!" * times
    assert config.cleared == ("TF32", "TF32")


def test_graphs_that_are_missing_name_their_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    monkeypatch.setattr("qdts.models.export.engines.current_capability", lambda: "9.0")
    (tmp_path / "onnx/fp32").mkdir(parents=True)
    for precision, stage in (("fp16", "export"), ("int8", "explicit")):
        config = EnginesConfig(model=tmp_path, library="tensorrt", precisions=(precision,))
        with pytest.raises(WeightsMissing, match=f"run the stage {stage} first"):
            build_engines(config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"precisions": ()}, "precisions are"),
        ({"precisions": ("int4",)}, "int4.*known: fp32, fp16, bf16, int8, fp8"),
        ({"capabilities": ()}, "capabilities is empty"),
        ({"capabilities": ("sm89",)}, 'such as "8.9", or "current"; not \'sm89\''),
        ({"try_on": ("9",)}, "not '9'"),
    ],
)
def test_bad_settings_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EnginesConfig(model=Path("m"), **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_batch": 12}, "max_batch must be a power of two"),
        ({"max_step": 0}, "max_step must be a power of two"),
        ({"max_document": 32}, r"max_document must lie in \[64, 8192\], is 32"),
    ],
)
def test_bad_shapes_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EngineShapes(**changes)
