"""Do the runtimes write the same tokens? eager fp32 is the oracle; ONNX fp32 must agree, int8 is measured.

The rows are the evaluation sample that ships, or with --data a directory of the public sets. The fp32 graphs,
which do not ship, are exported to a scratch directory.
"""

import argparse
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from qdts.loadtest.report import finish, make_parser
from qdts.models.evaluation.rows import EvalRow
from qdts.models.evaluation.samples import load_row_file
from qdts.models.evaluation.splits import evaluation_ids, limit_ids, load_rows
from qdts.models.evaluation.systems import document_of
from qdts.models.manifest import Description, write
from qdts.models.shipped import find_model
from qdts.models.summarizer import Summarizer, SummarizerConfig

QUICK_ROWS = 40
Tokens = list[int]


@contextmanager
def with_fp32_graphs(model: Path) -> Iterator[Path]:
    """A copy of a model directory that also holds the fp32 graphs."""
    from qdts.models.export.release import export

    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / model.name
        shutil.copytree(model, copy)
        export(copy, copy, ("fp32",))
        write(copy, Description(name=model.name, version="scratch", licence="-"))
        yield copy


def write_all(summarizer: Summarizer, rows: Sequence[EvalRow], *, max_words: int) -> list[Tokens]:
    """The tokens of each row's summary, one at a time."""
    outputs: list[Tokens] = []
    for row in tqdm(rows, desc=f"{summarizer.info.name} {summarizer.info.precision}", leave=False):
        prompt = summarizer.prepare(row.query, document_of(row), max_words=max_words)
        generation = summarizer.start([prompt])
        while generation.active:
            generation.step()
        outputs.append(generation.tokens(0))
    return outputs


def measure(model: Path, rows: Sequence[EvalRow], num_threads: int) -> dict[str, object]:
    """Rows on which each runtime writes the oracle's tokens; the oracle also without drafts."""
    systems = {
        "onnx_fp32": SummarizerConfig(runtime="onnx", precision="fp32", num_threads=num_threads),
        "onnx_int8": SummarizerConfig(runtime="onnx", precision="int8", num_threads=num_threads),
        "eager_undrafted": SummarizerConfig(runtime="eager", precision="fp32", num_threads=num_threads, max_draft=0),
    }
    with with_fp32_graphs(model) as directory:
        oracle = SummarizerConfig(runtime="eager", precision="fp32", num_threads=num_threads)
        expected = write_all(Summarizer.load(directory, oracle), rows, max_words=60)
        figures: dict[str, object] = {"rows": len(rows), "tokens": sum(map(len, expected))}
        for name, config in systems.items():
            actual = write_all(Summarizer.load(directory, config), rows, max_words=60)
            figures[f"{name}_same"] = sum(ours == theirs for ours, theirs in zip(actual, expected, strict=True))
    return figures


def choose_rows(data: Path | None, num_rows: int) -> list[EvalRow]:
    """Rows of the shipped sample, or of the frozen split, spread over the sets."""
    if data is None:
        rows = load_row_file()
        return rows[:: max(1, len(rows) // num_rows)][:num_rows]
    ids = evaluation_ids()
    return load_rows(data, limit_ids(ids, -(-num_rows // len(ids))))[:num_rows]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report; fails if ONNX fp32 or undrafted decoding differs anywhere."""
    parser = make_parser(__doc__ or "")
    parser.add_argument("--model", default="", help="a model directory or the name of a shipped one")
    parser.add_argument("--data", type=Path, help="directory of the public evaluation sets")
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    args: argparse.Namespace = parser.parse_args(argv)
    model = find_model(args.model)
    if model is None:
        parser.error("no model ships and none is named")
    rows = choose_rows(args.data, QUICK_ROWS if args.quick else args.rows)
    figures = measure(model, rows, args.threads)
    finish("agreement", args, figures)
    return 0 if figures["onnx_fp32_same"] == figures["eager_undrafted_same"] == len(rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
