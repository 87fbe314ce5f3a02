"""How near the kernels are to what the GPU can do: each against its specification in torch and against the roofline.

ms: median of the call's launches, caches flushed before each · reference_ms: the specification, not meant to be fast ·
floor_ms: what its bytes and operations take at the device's peaks · roofline: floor / ms · same: the result agrees with
the specification's. Sizes are those of the 0.1B net (kernels/examples.py), float16.
Needs a CUDA device; without one nothing is measured and nothing is written.
"""

import argparse
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, cast

import torch
from torch import Tensor
from tqdm import tqdm

from qdts.kernels.cost import Cost, Peak
from qdts.loadtest.report import finish, make_parser

# Dense float16 with float32 sums, and memory, as in the makers' data sheets: NVIDIA H200, H100 (SXM, NVL, PCIe), A100
# 80 GB, L20. The first name found within the device's counts.
PEAKS = {
    "H200": Peak(flops_per_s=989e12, bytes_per_s=4.8e12),
    "H100 PCIe": Peak(flops_per_s=756e12, bytes_per_s=2.0e12),
    "H100 NVL": Peak(flops_per_s=835e12, bytes_per_s=3.9e12),
    "H100": Peak(flops_per_s=989e12, bytes_per_s=3.35e12),
    "A100": Peak(flops_per_s=312e12, bytes_per_s=2.04e12),
    "L20": Peak(flops_per_s=119.5e12, bytes_per_s=864e9),
}
# A result of float16 sums in another order.
TOLERANCE = 1e-2
# Ties aside, an argmax over scores whose sums differ in order may differ in a few rows.
MIN_SAME_IDS = 0.99

Timer = Callable[[Callable[[], Any]], float]


def peak_of(device_name: str) -> Peak | None:
    """The limits of a device by the name that the driver gives it; None where they are not known."""
    return next((peak for name, peak in PEAKS.items() if name in device_name), None)


def agrees(actual: Any, expected: Any) -> bool:
    """Are results, tensors or tuples of them, the same but for rounding?"""
    if not isinstance(actual, Tensor):
        return all(agrees(*pair) for pair in zip(actual, expected, strict=True))
    if actual.dtype == torch.int64:
        return float((actual == expected).double().mean()) >= MIN_SAME_IDS
    return torch.allclose(actual.float(), expected.float(), rtol=TOLERANCE, atol=TOLERANCE)


def figures_of(ms: float, reference_ms: float, cost: Cost, peak: Peak | None) -> dict[str, float]:
    """One operation's row; without known peaks no share of the roofline."""
    row = {
        "ms": ms,
        "reference_ms": reference_ms,
        "speedup": reference_ms / ms,
        "gb_per_s": cost.num_bytes / ms / 1e6,
        "tflops": cost.num_flops / ms / 1e9,
    }
    if peak is not None:
        row |= {"floor_ms": cost.floor_ms(peak), "roofline": cost.floor_ms(peak) / ms}
    return {name: float(f"{value:.4g}") for name, value in row.items()}


def measure(device: torch.device, names: Sequence[str], *, time_ms: Timer, peak: Peak | None) -> dict[str, object]:
    """Every operation, one after the other."""
    # Not before there is a device: they need Triton.
    from qdts.kernels.examples import Examples

    examples = Examples(device)
    unknown = set(names) - set(examples.names)
    if unknown:
        raise SystemExit(f"unknown operations {sorted(unknown)}; there are {', '.join(examples.names)}")
    rows: dict[str, object] = {}
    for name in tqdm(names or examples.names, desc="operations", leave=False):
        torch.manual_seed(0)
        example = examples.make(name)
        same = agrees(example.plan.run(), example.reference())
        ms, reference_ms = time_ms(example.plan.run), time_ms(example.reference)
        rows[name] = {"same": same, **figures_of(ms, reference_ms, example.cost, peak)}
    return rows


def cuda_timer(milliseconds: int) -> Timer:
    """Medians over about that long, measured by the device's own clock."""
    from triton.testing import do_bench

    def time_ms(function: Callable[[], Any]) -> float:
        return cast(float, do_bench(function, warmup=25, rep=milliseconds, return_mode="median"))

    return time_ms


def describe_device(device: torch.device) -> dict[str, str]:
    """Name, compute capability, driver and the versions that matter."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    driver = ""
    if shutil.which(query[0]):
        driver = subprocess.run(query, capture_output=True, text=True, check=False).stdout.partition("\n")[0]
    return {
        "device": torch.cuda.get_device_name(device),
        "capability": ".".join(map(str, torch.cuda.get_device_capability(device))),
        "driver": driver,
        "cuda": str(torch.version.cuda),
        "triton": version("triton"),
    }


def all_same(rows: Mapping[str, Any]) -> bool:
    """Did every operation agree with its specification?"""
    return all(row["same"] for row in rows.values())


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report; fails if an operation disagrees with its specification."""
    parser = make_parser(__doc__ or "")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these operations")
    args: argparse.Namespace = parser.parse_args(argv)
    if not torch.cuda.is_available():
        print("no CUDA device: nothing measured")
        return 0
    device = torch.device("cuda")
    about = describe_device(device)
    timer = cuda_timer(20 if args.quick else 200)
    rows = measure(device, args.only, time_ms=timer, peak=peak_of(about["device"]))
    finish("kernels", args, {**about, "same": all_same(rows), **rows})
    return 0 if all_same(rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
