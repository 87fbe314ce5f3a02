"""A model directory's ONNX graphs: fp32 from its checkpoint, int8 from those."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from qdts.models import checkpoint
from qdts.models.export.quantize import quantize_graph, quantize_table
from qdts.models.export.to_onnx import GRAPHS, export_graphs
from qdts.models.runtimes.embedding import EMBEDDING

PRECISIONS = ("fp32", "int8")


def export(model_dir: Path, out_dir: Path, precisions: Sequence[str] = ("int8",)) -> None:
    """Write out_dir/onnx/<precision>/ for each precision. The manifest is written afterwards."""
    unknown = sorted(set(precisions) - set(PRECISIONS))
    if unknown or not precisions:
        raise ValueError(f"precisions are {list(precisions)}; known: {', '.join(PRECISIONS)}")
    net = checkpoint.load(model_dir)
    with tempfile.TemporaryDirectory() as scratch:
        wide = out_dir / "onnx" / "fp32" if "fp32" in precisions else Path(scratch)
        export_graphs(net, wide)
        if "int8" in precisions:
            _quantize(wide, out_dir / "onnx" / "int8")


def _quantize(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in GRAPHS:
        quantize_graph(source / name, target / name)
    quantize_table(source / EMBEDDING, target / EMBEDDING)
