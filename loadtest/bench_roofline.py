"""How near a request is to what this CPU can do: operations and bytes beside measured time, phase by phase.

Counted from the net's shape (loadtest/roofline/counting.py), measured through ONNX Runtime at int8 and fp32, compared
with peaks sampled beside each repeat: large 8-bit and fp32 products, reading from the last cache and from memory.
Writes results/roofline.json, .md and .png.
"""

import argparse
import json
import multiprocessing
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

from qdts.loadtest.bench_agreement import with_fp32_graphs
from qdts.loadtest.peers.worker import thread_limit
from qdts.loadtest.report import RESULTS_DIR, finish, make_parser
from qdts.loadtest.roofline.counting import Counting
from qdts.loadtest.roofline.peaks import PeakConfig, Probes, median_peaks
from qdts.loadtest.roofline.phases import Line, Request, Sizes, measure
from qdts.loadtest.roofline.report import save_plot, table
from qdts.models.nets.config import T5Config
from qdts.models.runtimes import load_runtime
from qdts.models.runtimes.config import Precision, RuntimeConfig
from qdts.models.runtimes.embedding import Embedding
from qdts.models.runtimes.graph import Graph
from qdts.models.runtimes.onnx_head import HEAD, OnnxHead
from qdts.models.shipped import find_model

PRECISIONS: tuple[Precision, ...] = ("int8", "fp32")
BATCHES = (1, 8)


def measure_all(
    model: Path, precisions: Sequence[Precision], batches: Sequence[int], sizes: Sizes, peak_config: PeakConfig
) -> dict[str, object]:
    """Peaks, and by precision and batch size a line per phase."""
    net = T5Config.from_dict(json.loads((model / "config.json").read_text(encoding="utf-8")))
    lines: dict[str, dict[str, list[Line]]] = {}
    with Probes(peak_config) as probes:
        for precision in precisions:
            config = RuntimeConfig(precision=precision, num_threads=peak_config.num_threads)
            runtime, head = load_runtime("onnx", model, config), _open_head(model / "onnx" / precision, config)
            for batch in batches:
                request = Request(runtime, head, Counting.of(net, precision), sizes, batch)
                found = measure(request.phases(), sizes, probes.sample)
                lines.setdefault(precision, {})[str(batch)] = [one.line() for one in found]
        peaks = asdict(median_peaks(probes.samples))
    return {"threads": peak_config.num_threads, "sizes": asdict(sizes), "peaks": peaks, "lines": lines}


def _open_head(graphs: Path, config: RuntimeConfig) -> OnnxHead:
    return OnnxHead(Embedding.load(graphs).head, lambda: Graph(graphs / HEAD, config))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report."""
    parser = make_parser(__doc__ or "")
    parser.add_argument("--model", default="", help="a model directory or the name of a shipped one")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--batches", nargs="+", type=int, default=list(BATCHES), metavar="SIZE")
    parser.add_argument("--tokens", type=int, default=Sizes().document, help="of a document")
    parser.add_argument("--results", type=Path, default=RESULTS_DIR, metavar="DIR")
    args: argparse.Namespace = parser.parse_args(argv)
    model = find_model(args.model)
    if model is None:
        parser.error("no model ships and none is named")
    peaks = PeakConfig(num_threads=args.threads)
    sizes = Sizes(document=args.tokens)
    if args.quick:
        peaks = PeakConfig(num_threads=args.threads, square=1024, memory_bytes=128 << 20)
        sizes = Sizes(document=args.tokens, repeats=5)
    # A process of its own: numpy's products take their threads from the environment, once.
    context = multiprocessing.get_context("spawn")
    with with_fp32_graphs(model) if "fp32" in args.precisions else nullcontext(model) as directory:
        with thread_limit(args.threads), context.Pool(1) as pool:
            figures = pool.apply(measure_all, (directory, args.precisions, args.batches, sizes, peaks))
    result = finish("roofline", args, figures, args.results)
    if not args.quick:
        (args.results / "roofline.md").write_text(table(result), encoding="utf-8")
        save_plot(figures, args.results / "roofline.png", f"{model.name}, threads: {args.threads}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
