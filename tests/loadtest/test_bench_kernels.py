"""What the kernels' benchmark counts, with a clock of ours in place of a GPU's."""

import pytest
import torch

from qdts.kernels.cost import Cost, Peak
from qdts.kernels.reference import AddedNorm
from qdts.loadtest import bench_kernels

PEAK = Peak(flops_per_s=1e12, bytes_per_s=1e9)


@pytest.mark.parametrize(
    ("name", "bytes_per_s"),
    [
        ("NVIDIA H200", 4.8e12),
        ("NVIDIA H100 80GB HBM3", 3.35e12),
        ("NVIDIA H100 PCIe", 2.0e12),
        ("NVIDIA L20", 864e9),
    ],
)
def test_devices_are_known_by_their_names(name: str, bytes_per_s: float) -> None:
    peak = bench_kernels.peak_of(name)
    assert peak is not None
    assert peak.bytes_per_s == bytes_per_s


def test_an_unknown_device_has_no_roofline() -> None:
    assert bench_kernels.peak_of("NVIDIA GeForce GTX 1080") is None
    row = bench_kernels.figures_of(2.0, 6.0, Cost(num_bytes=10**6, num_flops=10), None)
    assert row["speedup"] == 3
    assert "roofline" not in row


def test_the_share_is_that_of_the_tighter_limit() -> None:
    row = bench_kernels.figures_of(4.0, 4.0, Cost(num_bytes=2 * 10**6, num_flops=10**6), PEAK)
    assert (row["floor_ms"], row["roofline"], row["gb_per_s"]) == (2, 0.5, 0.5)


def test_agreement_is_within_rounding() -> None:
    x = torch.randn(4, 8)
    assert bench_kernels.agrees(x.half(), x)
    assert bench_kernels.agrees(AddedNorm(x, x + 1e-4), AddedNorm(x, x))
    assert not bench_kernels.agrees(AddedNorm(x, x + 0.1), AddedNorm(x, x))
    ids = torch.arange(1000)
    assert bench_kernels.agrees(ids.clone().index_fill_(0, ids[:5], 7), ids)
    assert not bench_kernels.agrees(ids + 1, ids)


def test_one_wrong_operation_is_a_failure() -> None:
    assert bench_kernels.all_same({"a": {"same": True}})
    assert not bench_kernels.all_same({"a": {"same": True}, "b": {"same": False}})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU: it would be measured")
def test_without_a_gpu_it_says_so_and_writes_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_kernels, "finish", lambda *arguments: pytest.fail("it wrote a result"))
    assert bench_kernels.main([]) == 0
    assert "nothing measured" in capsys.readouterr().out
