"""The stage `quantize`: fp32 graphs -> int8 graphs for CPUs, with clips chosen on real prompts, and quantize.json."""

from collections.abc import Mapping
from itertools import chain
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file  # pyright: ignore[reportUnknownVariableType]

from qdts.errors import WeightsMissing
from qdts.models import checkpoint
from qdts.models.evaluation.rows import EvalRow
from qdts.models.evaluation.samples import SAMPLE_V1, load_row_file
from qdts.models.export.calibration import Calibration, calibrate
from qdts.models.export.clips import QuantizedWeight, quantize_weight
from qdts.models.export.config import CalibrationConfig, QuantizeConfig
from qdts.models.export.cpu_graphs import Floats, Net, write_cpu_graphs
from qdts.models.export.head import write_head
from qdts.models.export.int8 import quantize_table
from qdts.models.export.layers import Graph, Layer, matching, read_graph
from qdts.models.export.sqnr import LayerReport, QuantizeReport, count_clips, sqnr_db
from qdts.models.export.to_onnx import GRAPHS
from qdts.models.runtimes.cpu import NEEDS
from qdts.models.runtimes.embedding import EMBEDDING
from qdts.models.runtimes.quantization import QUANTIZATION

Weights = dict[str, QuantizedWeight]


def quantize(config: QuantizeConfig) -> QuantizeReport:
    """Calibrate, choose, write `model`/onnx/int8; returns what quantize.json says."""
    source = config.model / "onnx" / "fp32"
    graphs = read_graphs(source)
    calibration = run_calibration(config.model, config.calibration) if config.clip == "mse" else None
    return write_int8(graphs, source, config.model / "onnx" / "int8", config, calibration)


def read_graphs(source: Path) -> dict[str, Graph]:
    """The fp32 graphs of a directory by file name; WeightsMissing says which stage makes them."""
    for name in (*GRAPHS, EMBEDDING):
        if not (source / name).is_file():
            raise WeightsMissing(f"{source / name} is not there: run the stage export first")
    return {name: read_graph(source / name) for name in GRAPHS}


def run_calibration(model: Path, config: CalibrationConfig) -> Calibration:
    """Watch `model`'s fp32 graphs on the rows the config names."""
    return calibrate(model, calibration_rows(config), num_threads=config.num_threads)


def calibration_rows(config: CalibrationConfig) -> list[EvalRow]:
    """`num_rows` rows spread over the file, so that each of its sets is there."""
    rows = load_row_file(config.rows or SAMPLE_V1)
    count = min(config.num_rows, len(rows))
    return [rows[index * len(rows) // count] for index in range(count)]


def write_int8(
    graphs: Mapping[str, Graph],
    source: Path,
    target: Path,
    config: QuantizeConfig,
    calibration: Calibration | None,
) -> QuantizeReport:
    """Write graphs, table and quantize.json to `target`; without a calibration nothing is clipped or measured."""
    kept = matching([*chain(*(graph.layers for graph in graphs.values()))], config.keep_fp32)
    target.mkdir(parents=True, exist_ok=True)
    layers: list[LayerReport] = []
    written: dict[str, QuantizedWeight | Floats] = {}
    for graph in graphs.values():
        weights = _choose(graph, kept, config, calibration)
        written |= {layer.name: weights.get(layer.weight, graph.weights[layer.weight]) for layer in graph.layers}
        layers += [_report(layer, graph, weights, config, calibration) for layer in graph.layers]
    net = checkpoint.load(config.model)
    parameters = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    write_cpu_graphs(Net(config=net.config, layers=written, parameters=parameters), target)
    write_head(_quantize_head(source / EMBEDDING, config.weight_bits), target)
    quantize_table(source / EMBEDDING, target / EMBEDDING)
    report = QuantizeReport(
        weight_bits=config.weight_bits,
        clip=config.clip if calibration else "max",
        needs=NEEDS[config.weight_bits],
        calibrated_on=(config.calibration.rows or SAMPLE_V1).name if calibration else "",
        num_prompts=calibration.num_prompts if calibration else 0,
        layers=tuple(layers),
    )
    report.save(target / QUANTIZATION)
    return report


def _quantize_head(table: Path, bits: int) -> QuantizedWeight:
    """The output layer (C, V)."""
    tensors = load_file(table)
    return quantize_weight(np.ascontiguousarray(tensors.get("head", tensors["tokens"]).T), bits=bits)


def _choose(graph: Graph, kept: frozenset[str], config: QuantizeConfig, calibration: Calibration | None) -> Weights:
    """Integers for every weight, but for those that a kept layer reads."""
    wide = {layer.weight for layer in graph.layers if layer.name in kept}
    chosen: Weights = {}
    for layer in graph.layers:
        if layer.weight not in wide and layer.weight not in chosen:
            gram = calibration.of(layer).gram if calibration else None
            weight = graph.weights[layer.weight]
            chosen[layer.weight] = quantize_weight(weight, bits=config.weight_bits, gram=gram, grid=config.grid)
    return chosen


def _report(
    layer: Layer, graph: Graph, weights: Weights, config: QuantizeConfig, calibration: Calibration | None
) -> LayerReport:
    weight = graph.weights[layer.weight]
    shape = (weight.shape[0], weight.shape[1])
    if layer.weight not in weights:
        return LayerReport(name=layer.name, shape=shape, is_kept=True, clips={})
    chosen = weights[layer.weight]
    if calibration is None:
        return LayerReport(name=layer.name, shape=shape, clips=count_clips(chosen))
    rows = calibration.of(layer).rows
    return LayerReport(
        name=layer.name,
        shape=shape,
        sqnr_db=sqnr_db(rows, weight, chosen),
        unclipped_db=sqnr_db(rows, weight, quantize_weight(weight, bits=config.weight_bits)),
        clips=count_clips(chosen),
    )
