"""One ONNX graph in an ONNX Runtime session: arrays in, arrays out. The only importer of onnxruntime here."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy.typing as npt
import onnxruntime as ort  # pyright: ignore[reportMissingTypeStubs]

from qdts.errors import ProviderMissing, WeightsCorrupt, WeightsMissing
from qdts.models.runtimes.base import Floats
from qdts.models.runtimes.config import RuntimeConfig

Array = npt.NDArray[Any]
_ort = cast(Any, ort)


def num_threads(config: RuntimeConfig) -> int:
    """The threads a session computes with: as asked, or every core this process may use."""
    return config.num_threads or len(os.sched_getaffinity(0))


class Graph:
    """A loaded graph. `names` are its inputs, in order."""

    def __init__(self, path: Path, config: RuntimeConfig) -> None:
        check_providers(config.providers, cast(list[str], _ort.get_available_providers()))
        self._session = _open(path, config)
        # A provider that fails to start is dropped with a log line: never silently another.
        check_providers(config.providers, cast(list[str], self._session.get_providers()))
        self.names: tuple[str, ...] = tuple(node.name for node in self._session.get_inputs())

    def run(self, *inputs: Array, outputs: Sequence[str] | None = None) -> list[Floats]:
        """The outputs of these names, or all, for inputs in the order of `names`."""
        feeds: Mapping[str, Array] = dict(zip(self.names, inputs, strict=True))
        return cast(list[Floats], self._session.run(outputs, feeds))

    def shape(self, name: str) -> list[int | str]:
        """An input's shape; free dimensions are names."""
        nodes = {node.name: node for node in self._session.get_inputs()}
        return cast(list[int | str], nodes[name].shape)


def check_providers(wanted: Sequence[str], present: Sequence[str]) -> None:
    """ProviderMissing unless every provider asked for is there."""
    for name in wanted:
        if name not in present:
            raise ProviderMissing(
                f"{name} was asked for, but this ONNX Runtime has only {', '.join(present)}:"
                " install the build that carries it, or ask for another provider."
            )


def _open(path: Path, config: RuntimeConfig) -> Any:
    if not path.is_file():
        raise WeightsMissing(f"{path} is not there: export the model for {config.precision}.")
    options = _ort.SessionOptions()
    options.intra_op_num_threads = num_threads(config)
    options.inter_op_num_threads = 1
    # Warnings about nodes placed on the CPU and unused initialisers are no news to an operator.
    options.log_severity_level = 3
    # A pattern is kept for each new shape and asks for its peak in one piece: with lengths of all kinds memory grows.
    options.enable_mem_pattern = False
    # Idle threads of one graph must not spin while another graph of the same step computes.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        return _ort.InferenceSession(str(path), options, providers=list(config.providers))
    except (
        _ort.capi.onnxruntime_pybind11_state.InvalidProtobuf,
        _ort.capi.onnxruntime_pybind11_state.Fail,
    ) as error:
        raise WeightsCorrupt(f"{path} is not a graph ONNX Runtime can read: {error}") from error
