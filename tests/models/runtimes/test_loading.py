"""What a runtime refuses to start with, and that serving needs no torch."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest

from qdts.errors import ProviderMissing, Unsupported, WeightsCorrupt, WeightsMissing
from qdts.models.runtimes import environment, load_runtime
from qdts.models.runtimes.config import RuntimeConfig
from qdts.models.runtimes.graph import check_providers


def test_info_says_what_runs(model_dir: Path) -> None:
    onnx = load_runtime("onnx", model_dir, RuntimeConfig(num_threads=1)).info
    assert (onnx.name, onnx.precision, onnx.device, onnx.num_threads) == ("onnx", "int8", "cpu", 1)
    eager = load_runtime("eager", model_dir, RuntimeConfig(precision="fp32", num_threads=1)).info
    assert (eager.name, eager.precision, eager.device, eager.num_threads) == ("eager", "fp32", "cpu", 1)


def test_an_unknown_runtime_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="known: eager, onnx, cuda, tensorrt"):
        load_runtime("tensorflow", tmp_path, RuntimeConfig())


def test_eager_does_not_pretend_to_be_int8(model_dir: Path) -> None:
    with pytest.raises(Unsupported, match="not int8"):
        load_runtime("eager", model_dir, RuntimeConfig(precision="int8"))


def test_a_provider_that_is_not_there_is_never_replaced(model_dir: Path) -> None:
    config = RuntimeConfig(providers=("CUDAExecutionProvider", "CPUExecutionProvider"))
    present = ["CPUExecutionProvider"]
    with pytest.raises(ProviderMissing, match="CUDAExecutionProvider was asked for.*only CPUExecutionProvider"):
        check_providers(config.providers, present)
    check_providers(("CPUExecutionProvider",), present)


def test_a_provider_unknown_to_the_build_stops_the_start(model_dir: Path) -> None:
    with pytest.raises(ProviderMissing, match="NoSuchExecutionProvider"):
        load_runtime("onnx", model_dir, RuntimeConfig(providers=("NoSuchExecutionProvider",)))


def test_a_missing_graph_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="embedding.safetensors"):
        load_runtime("onnx", tmp_path, RuntimeConfig())


def test_a_broken_graph_is_named(model_dir: Path, tmp_path: Path) -> None:
    graphs = tmp_path / "onnx" / "int8"
    graphs.mkdir(parents=True)
    for file in (model_dir / "onnx" / "int8").iterdir():
        (graphs / file.name).write_bytes(file.read_bytes())
    (graphs / "step.onnx").write_bytes(b"not a graph")
    with pytest.raises(WeightsCorrupt, match="step.onnx"):
        load_runtime("onnx", tmp_path, RuntimeConfig())


def test_the_onnx_runtime_needs_no_torch(model_dir: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from qdts.models.runtimes import load_runtime
from qdts.models.runtimes.config import RuntimeConfig
import numpy as np
runtime = load_runtime("onnx", Path({str(model_dir)!r}), RuntimeConfig(num_threads=1))
batch = runtime.start(runtime.encode([np.arange(5)]), [None])
assert runtime.step(batch, np.zeros((1, 1), np.int64), np.ones(1, np.int64)).shape == (1, 1)
heavy = sorted(name for name in ("torch", "onnx", "transformers") if name in sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-P", "-c", program], check=True, timeout=60)


@pytest.mark.parametrize(
    ("field", "value", "bound"),
    [("precision", "int4", "int8, fp32"), ("num_threads", 0, "at least 1"), ("providers", (), "at least one")],
)
def test_a_config_out_of_bounds_names_the_bound(field: str, value: object, bound: str) -> None:
    with pytest.raises(ValueError, match=bound):
        RuntimeConfig(**{field: value})  # pyright: ignore[reportArgumentType]


class TestEnvironment:
    def pretend(self, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
        def version(name: str) -> str:
            if name not in names:
                raise metadata.PackageNotFoundError(name)
            return "1.23"

        monkeypatch.setattr(environment.metadata, "version", version)

    def test_this_machine_is_fine(self) -> None:
        environment.check_onnxruntime()

    def test_two_builds_are_a_conflict(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pretend(monkeypatch, "onnxruntime", "onnxruntime-gpu")
        repair = "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu"
        with pytest.raises(Unsupported, match=f"both installed.*{repair}"):
            environment.check_onnxruntime()

    def test_a_package_without_its_parts_is_found(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pretend(monkeypatch, "onnxruntime")
        monkeypatch.setitem(sys.modules, "onnxruntime", ModuleType("onnxruntime"))
        with pytest.raises(Unsupported, match="no InferenceSession.*pip install onnxruntime"):
            environment.check_onnxruntime()

    def test_none_installed_says_how(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        with pytest.raises(Unsupported, match=r"pip install 'qdts\[cpu\]'"):
            environment.check_onnxruntime()
