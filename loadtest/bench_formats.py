"""What each number format costs and saves: the same prompts through every format of one model.

fp32 (eager, the oracle) · fp32 (ONNX) · int8 of 7 and 8 bits with activations per token, which is served on CPUs ·
INT8 and FP8 QDQ graphs with one scale per activation tensor, as an engine like TensorRT builds from them, run here by
ONNX Runtime's CPU provider: their quality is meant, their milliseconds say nothing of a GPU.
Calibrated on the sample that ships. Rows are that sample (`--data sample`) or those of a directory of the public sets.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from qdts.loadtest.bench_agreement import choose_rows
from qdts.loadtest.report import finish, make_parser
from qdts.models.evaluation.metrics import ANSWER_CONTAINED, ROUGE_L, WORDS, measure
from qdts.models.evaluation.report import Measured, score_systems
from qdts.models.evaluation.rows import EvalRow
from qdts.models.evaluation.systems import document_of, sentence_texts
from qdts.models.export.config import CalibrationConfig, ExplicitConfig, ExportConfig, QuantizeConfig
from qdts.models.export.explicit import write_explicit
from qdts.models.export.quantize import quantize
from qdts.models.export.release import RELEASED, export_fp32
from qdts.models.lexicon import Lexicon
from qdts.models.prompt import PromptBuilder, PromptConfig
from qdts.models.runtimes.base import Runtime
from qdts.models.runtimes.config import RuntimeConfig
from qdts.models.runtimes.cpu import sums_exactly
from qdts.models.runtimes.eager import EagerRuntime
from qdts.models.runtimes.onnx_runtime import OnnxRuntime
from qdts.models.settings import ModelSettings
from qdts.models.shipped import find_model
from qdts.models.summarizer import Summarizer, SummarizerConfig
from qdts.models.tokenizer import Tokenizer

QUICK_ROWS = 24
MAX_WORDS = 50
ORACLE = "eager_fp32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One format on all rows: tokens and sentences per row, milliseconds of all."""

    tokens: list[list[int]]
    sentences: list[tuple[str, ...]]
    elapsed_ms: float


def build_formats(model: Path, scratch: Path, *, calibration: CalibrationConfig) -> dict[str, Path]:
    """Every format's graphs under `scratch`, by the format's name."""
    for name in RELEASED:
        shutil.copyfile(model / name, scratch / name)
    export_fp32(ExportConfig(model=scratch))
    graphs = scratch / "onnx"
    for bits in (8, 7):
        quantize(QuantizeConfig(model=scratch, weight_bits=bits, calibration=calibration))
        (graphs / "int8").rename(graphs / f"int8_{bits}bit")
    write_explicit(ExplicitConfig(model=scratch, calibration=calibration))
    found = {path.name: path for path in sorted(graphs.iterdir())}
    return {name: path for name, path in found.items() if name != "int8_8bit" or sums_exactly()}


def open_runtimes(scratch: Path, formats: Mapping[str, Path], num_threads: int) -> dict[str, Runtime]:
    """The oracle first, then ONNX Runtime on each format."""
    config = RuntimeConfig(precision="fp32", num_threads=num_threads)
    runtimes: dict[str, Runtime] = {ORACLE: EagerRuntime.load(scratch, config)}
    return runtimes | {name: OnnxRuntime(path, config) for name, path in formats.items()}


def write_all(summarizer: Summarizer, rows: Sequence[EvalRow], name: str) -> Written:
    """Each row's summary, one at a time, in joint mode."""
    tokens: list[list[int]] = []
    sentences: list[tuple[str, ...]] = []
    started = time.perf_counter()
    for row in tqdm(rows, desc=name, leave=False, disable=None):
        prompt = summarizer.prepare(row.query, document_of(row), max_words=MAX_WORDS)
        generation = summarizer.start([prompt])
        while generation.active:
            generation.step()
        tokens.append(generation.tokens(0))
        sentences.append(sentence_texts(generation.summary(0)))
    return Written(tokens=tokens, sentences=sentences, elapsed_ms=1000 * (time.perf_counter() - started))


def score(rows: Sequence[EvalRow], written: Written, expected: Written) -> dict[str, float]:
    """Agreement with the oracle, means of the sets, milliseconds a request."""
    measures = [measure(sentences, row) for sentences, row in zip(written.sentences, rows, strict=True)]
    texts = [" ".join(sentences) for sentences in written.sentences]
    measured = Measured(name="", texts=texts, measures=measures, facts=[{} for _ in rows])
    macro = score_systems(rows, [measured], seed=0)[0].macro
    same = sum(ours == theirs for ours, theirs in zip(written.tokens, expected.tokens, strict=True))
    means = {name: round(macro[name].mean, 4) for name in (ROUGE_L, ANSWER_CONTAINED, WORDS) if name in macro}
    return {"same_tokens": round(same / len(rows), 4), **means, "ms": round(written.elapsed_ms / len(rows), 2)}


def run(model: Path, rows: Sequence[EvalRow], num_threads: int, calibration: CalibrationConfig) -> dict[str, object]:
    """The figures of every format."""
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        formats = build_formats(model, scratch, calibration=calibration)
        builder = PromptBuilder(
            Tokenizer.load(scratch / "tokenizer.json"), Lexicon.load(scratch / "lexicon.safetensors"), PromptConfig()
        )
        settings = ModelSettings.load(model)
        runtimes = open_runtimes(scratch, formats, num_threads)
        written = {
            name: write_all(Summarizer(name, builder, runtime, SummarizerConfig(), settings), rows, name)
            for name, runtime in runtimes.items()
        }
        sizes = {name: _megabytes(path) for name, path in formats.items()}
    figures: dict[str, object] = {"model": model.name, "rows": len(rows), "sums_exactly": sums_exactly()}
    for name, of_format in written.items():
        figures[name] = {**score(rows, of_format, written[ORACLE]), "megabytes": sizes.get(name)}
    return figures


def _megabytes(directory: Path) -> float:
    return round(sum(path.stat().st_size for path in directory.iterdir()) / 1e6, 2)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report."""
    parser = make_parser(__doc__ or "")
    parser.add_argument("--model", default="", help="a model directory or the name of a shipped one")
    parser.add_argument("--data", default="sample", metavar="DIR|sample", help="where the rows come from")
    parser.add_argument("--rows", type=int, default=207)
    parser.add_argument("--threads", type=int, default=2)
    args: argparse.Namespace = parser.parse_args(argv)
    model = find_model(args.model)
    if model is None:
        parser.error("no model ships and none is named")
    data = None if args.data == "sample" else Path(args.data)
    rows = choose_rows(data, QUICK_ROWS if args.quick else args.rows)
    calibration = CalibrationConfig(num_rows=12 if args.quick else 48, num_threads=args.threads)
    finish("formats", args, run(model, rows, args.threads, calibration))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
