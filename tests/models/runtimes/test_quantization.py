"""8-bit weights run only where they run right: flags decide, and what cannot be known is not trusted."""

from pathlib import Path

import pytest

from qdts.errors import Unsupported, WeightsCorrupt
from qdts.models.runtimes import cpu, quantization
from qdts.models.runtimes.config import RuntimeConfig
from qdts.models.runtimes.cpu import safe_weight_bits, sums_exactly
from qdts.models.runtimes.onnx_runtime import OnnxRuntime
from qdts.models.runtimes.quantization import QUANTIZATION, check_weight_bits, weight_bits

CPU = ("CPUExecutionProvider",)


def cpuinfo(tmp_path: Path, flags: str) -> Path:
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\nflags\t\t: {flags}\n\nprocessor\t: 1\nflags\t\t: fpu avx512_vnni\n")
    return path


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu avx avx2 fma", False),
        ("fpu avx2 avx512f avx512bw avx512vl", False),  # AVX-512 without VNNI saturates just as AVX2 does
        ("fpu avx2 avx512f avx512_vnni", True),
        ("fpu avx2 avx_vnni", True),
    ],
)
def test_flags_decide(tmp_path: Path, flags: str, expected: bool) -> None:
    assert sums_exactly("x86_64", cpuinfo(tmp_path, flags)) is expected


def test_what_cannot_be_known_is_not_trusted(tmp_path: Path) -> None:
    assert not sums_exactly("x86_64", tmp_path / "none")
    (tmp_path / "odd").write_text("Processor: something else\n")
    assert not sums_exactly("AMD64", tmp_path / "odd")
    assert sums_exactly("aarch64", tmp_path / "none")


def test_the_default_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    for exact, bits in ((True, 8), (False, 7)):
        monkeypatch.setattr(cpu, "sums_exactly", lambda exact=exact: exact)
        assert safe_weight_bits() == bits


def graphs(tmp_path: Path, text: str | None) -> Path:
    if text is not None:
        (tmp_path / QUANTIZATION).write_text(text)
    return tmp_path


def test_eight_bits_are_refused_where_sums_saturate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = graphs(tmp_path, '{"weight_bits": 8}')
    monkeypatch.setattr(quantization, "sums_exactly", lambda: True)
    check_weight_bits(directory, CPU)
    monkeypatch.setattr(quantization, "sums_exactly", lambda: False)
    check_weight_bits(directory, ("CUDAExecutionProvider",))
    with pytest.raises(Unsupported, match="8 bits and need a CPU with VNNI.*weight_bits = 7"):
        check_weight_bits(directory, CPU)


def test_the_runtime_asks(model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "onnx" / "int8"
    target.mkdir(parents=True)
    for path in (model_dir / "onnx" / "int8").iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(quantization, "sums_exactly", lambda: False)
    assert OnnxRuntime.load(tmp_path, RuntimeConfig(num_threads=1)).info.precision == "int8"
    (target / QUANTIZATION).write_text('{"weight_bits": 8}')
    with pytest.raises(Unsupported):
        OnnxRuntime.load(tmp_path, RuntimeConfig(num_threads=1))


def test_a_first_release_has_seven_bits(tmp_path: Path) -> None:
    assert weight_bits(graphs(tmp_path, None)) == 7


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_bits": 4}', '{"weight_bits": null}'])
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(WeightsCorrupt, match=r"quantize\.json"):
        weight_bits(graphs(tmp_path, text))
