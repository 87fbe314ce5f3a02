"""What ships is what stands in the checkout; what serves needs no torch; extras are as documented."""

import subprocess
import sys
import tomllib
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

import qdts
from qdts.v1 import summarization_pb2, summarization_pb2_grpc

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
LAYERS = ("service", "models", "kernels", "loadtest")


def packages_on_disk() -> set[str]:
    """Every directory with modules in it, as it is imported."""
    directories = {"qdts", "qdts.v1"}
    for layer in LAYERS:
        for module in (ROOT / layer).rglob("*.py"):
            directories.add(".".join(("qdts", *module.parent.relative_to(ROOT).parts)))
    return directories


def requirement_floor(name: str) -> str:
    """The lowest version of a base dependency that pyproject.toml admits."""
    [entry] = [line for line in PROJECT["project"]["dependencies"] if line.startswith(f"{name}>=")]
    return entry.removeprefix(f"{name}>=").split(",")[0]


def test_every_package_on_disk_is_declared() -> None:
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == packages_on_disk()


@pytest.mark.parametrize("layer", LAYERS)
def test_every_layer_has_its_link(layer: str) -> None:
    assert (ROOT / "qdts" / layer).resolve() == ROOT / layer
    assert PROJECT["tool"]["setuptools"]["package-dir"][f"qdts.{layer}"] == layer


def test_every_package_has_a_table_of_contents() -> None:
    for package in packages_on_disk() - {"qdts.v1"}:
        assert __import__(package, fromlist=["__doc__"]).__doc__, f"{package} has no docstring"


def test_version_is_the_same_everywhere() -> None:
    assert qdts.__version__ == PROJECT["project"]["version"]
    assert f"## {qdts.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_floors_match_the_generated_stubs() -> None:
    assert requirement_floor("grpcio") == summarization_pb2_grpc.GRPC_GENERATED_VERSION
    generated = Path(summarization_pb2.__file__).read_text()
    assert f"# Protobuf Python Version: {requirement_floor('protobuf')}\n" in generated
    [tools] = [line for line in PROJECT["project"]["optional-dependencies"]["dev"] if "grpcio-tools" in line]
    assert tools == f"grpcio-tools=={requirement_floor('grpcio')}"


def test_only_one_extra_brings_each_onnxruntime() -> None:
    extras: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
    runtimes = {name: [line for line in lines if line.startswith("onnxruntime")] for name, lines in extras.items()}
    assert {name: len(found) for name, found in runtimes.items() if found} == {"cpu": 1, "gpu": 1}
    assert runtimes["gpu"][0].startswith("onnxruntime-gpu")


@pytest.mark.parametrize("name", ["torch", "onnxruntime", "triton", "tensorrt", "matplotlib", "transformers"])
def test_nothing_heavy_is_a_base_dependency(name: str) -> None:
    assert not [line for line in PROJECT["project"]["dependencies"] if line.startswith(name)]


SERVING = "qdts.service.cli qdts.service.main qdts.service.local qdts.service.client qdts.models.summarizer"


@pytest.mark.parametrize("module", SERVING.split())
def test_serving_imports_no_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_help_imports_nothing_heavy() -> None:
    heavy = "{'grpc', 'numpy', 'tokenizers', 'onnxruntime', 'torch'}"
    code = f"import sys, qdts.service.cli as cli; cli.make_parser(); print({heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_weights_and_evaluation_data_are_package_data() -> None:
    data = PROJECT["tool"]["setuptools"]["package-data"]
    assert data["qdts.models"] == ["weights/**/*"]
    for folder in ("splits", "samples"):
        assert any(pattern.startswith(folder) for pattern in data["qdts.models.evaluation"])
        assert (files("qdts.models.evaluation") / folder).is_dir()


def test_no_weight_file_is_too_large_for_the_repository() -> None:
    for path in (ROOT / "models" / "weights").rglob("*"):
        assert not path.is_file() or path.stat().st_size < 50_000_000, path


def test_the_installed_package_is_this_checkout() -> None:
    assert version("qdts") == qdts.__version__
    assert Path(qdts.__file__).parent == ROOT / "qdts"
