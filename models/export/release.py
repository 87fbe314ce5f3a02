"""The last stage: a trained model directory, its graphs and what was measured -> what `qdts serve` loads.

`export_model` alone makes graphs from a checkpoint, fp32 and int8, without calibrating.
"""

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qdts.errors import ConfigError
from qdts.models import checkpoint
from qdts.models.evaluation.card import card_of, sample_card
from qdts.models.export.config import ExportConfig, QuantizeConfig, ReleaseConfig, check_precisions
from qdts.models.export.quantize import quantize, read_graphs, write_int8
from qdts.models.export.to_onnx import export_graphs
from qdts.models.manifest import Description, Manifest, write, write_metrics
from qdts.models.runtimes.quantization import QUANTIZATION
from qdts.models.settings import copy_settings

# What of a trained model directory is released, beside the graphs.
RELEASED = ("config.json", "model.safetensors", "tokenizer.json", "lexicon.safetensors")
_DESCRIBED = ("d_model", "d_kv", "d_ff", "num_layers", "num_decoder_layers", "num_heads", "vocab_size", "num_features")


def export(model_dir: Path, out_dir: Path, precisions: Sequence[str] = ("int8",)) -> None:
    """Write out_dir/onnx/<precision>/ for each precision, int8 without calibration."""
    check_precisions(tuple(precisions))
    with tempfile.TemporaryDirectory() as scratch:
        wide = out_dir / "onnx" / "fp32" if "fp32" in precisions else Path(scratch)
        export_graphs(checkpoint.load(model_dir), wide)
        if "int8" in precisions:
            config = QuantizeConfig(model=model_dir, clip="max")
            write_int8(read_graphs(wide), wide, out_dir / "onnx" / "int8", config, None)


def export_fp32(config: ExportConfig) -> None:
    """The stage `export`: `model`/onnx/fp32 from `model`'s checkpoint."""
    export_graphs(checkpoint.load(config.model), config.model / "onnx" / "fp32")


def release(config: ReleaseConfig) -> Manifest:
    """Copy, make the graphs that are missing, write the manifest, measure the sample, write it into the manifest."""
    card = {} if config.metrics is None else card_of(_read_report(config.metrics))
    config.out.mkdir(parents=True, exist_ok=True)
    for name in RELEASED:
        shutil.copyfile(config.model / name, config.out / name)
    if config.weights == "fp16":
        checkpoint.save(checkpoint.load(config.model), config.out, half=True)
    copy_settings(config.model, config.out)
    _copy_graphs(config)
    description = Description(
        name=config.name,
        version=config.version,
        licence=config.licence,
        training_data=config.training_data,
        metrics=card,
        architecture=describe_net(config.out),
        quantization=_describe_quantization(config),
    )
    manifest = write(config.out, description)
    if config.sample_rows == 0:
        return manifest
    sample = sample_card(config.out, config.precisions, config.sample_rows)
    return write_metrics(config.out, {**manifest.metrics, "sample": sample})


def describe_net(directory: Path) -> dict[str, Any]:
    """The architecture and the number of parameters, for the manifest."""
    values = checkpoint.load_config(directory).to_dict()
    parameters = sum(tensor.numel() for tensor in checkpoint.load(directory).parameters())
    return {name: values[name] for name in _DESCRIBED if name in values} | {"parameters": parameters}


def _copy_graphs(config: ReleaseConfig) -> None:
    """`model`'s graphs of the released precisions, and no others."""
    graphs = config.out / "onnx"
    shutil.rmtree(graphs, ignore_errors=True)
    for precision in config.precisions:
        source = config.model / "onnx" / precision
        if source.is_dir() and config.weights == "fp32":
            shutil.copytree(source, graphs / precision)
    missing = [precision for precision in config.precisions if not (graphs / precision).is_dir()]
    if missing:
        _make_graphs(config.out, missing, keep_fp32="fp32" in config.precisions)


def _make_graphs(out: Path, missing: Sequence[str], *, keep_fp32: bool) -> None:
    wide = out / "onnx" / "fp32"
    if not wide.is_dir():
        export_fp32(ExportConfig(model=out))
    if "int8" in missing:
        quantize(QuantizeConfig(model=out))
    if not keep_fp32:
        shutil.rmtree(wide)


def _describe_quantization(config: ReleaseConfig) -> dict[str, Any]:
    """What the manifest says of each quantised precision: quantize.json without its layers."""
    described: dict[str, Any] = {}
    for precision in config.precisions:
        path = config.out / "onnx" / precision / QUANTIZATION
        if path.is_file():
            values = json.loads(path.read_text(encoding="utf-8"))
            described[precision] = {name: value for name, value in values.items() if name != "layers"}
    return described


def _read_report(path: Path) -> Mapping[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ConfigError(f"metrics: {path} is not a report of `qdts eval --out`: {error}") from error
