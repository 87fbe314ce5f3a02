"""What the exporter is told of a graph, and the exporter: TorchScript's."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

_OPSET = 20  # the first with a tanh Gelu


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A module, example inputs by name, output names, and the names of free dimensions."""

    module: nn.Module
    inputs: Mapping[str, Tensor]
    outputs: Sequence[str]
    free: Mapping[str, Mapping[int, str]]


def export_trace(trace: Trace, path: Path, opset: int = _OPSET) -> None:
    """Write the graph."""
    with warnings.catch_warnings():
        # The TorchScript exporter: deprecated, and the one whose graphs ONNX Runtime optimises best here.
        warnings.simplefilter("ignore")
        torch.onnx.export(  # pyright: ignore[reportUnknownMemberType]
            trace.module,
            tuple(trace.inputs.values()),
            str(path),
            input_names=list(trace.inputs),
            output_names=list(trace.outputs),
            dynamic_axes={name: dict(axes) for name, axes in trace.free.items()},
            opset_version=opset,
            dynamo=False,
        )
