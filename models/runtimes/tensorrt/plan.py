"""What stands beside a plan file, as JSON: its hash, what built it, which GPU it is for, which shapes it takes.

A plan file is executable code. Nothing of it is believed, and nothing of it is run, before this file agrees.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from qdts.errors import WeightsCorrupt, WeightsMissing

Shape = tuple[int, ...]
GRAPHS = ("encoder", "start", "step")


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The shapes an input may have: each dimension from `least` to `most`; `usual` is what is optimised."""

    least: Shape
    usual: Shape
    most: Shape

    def admits(self, shape: Shape) -> bool:
        """Does `shape` lie within?"""
        if len(shape) != len(self.least):
            return False
        return all(low <= size <= high for low, size, high in zip(self.least, shape, self.most, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorInfo:
    """An input or output: `dtype` as numpy and torch call it, free dimensions are -1."""

    name: str
    dtype: str
    shape: Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The ONNX graph a plan was built from: its path from the model directory, and its SHA-256."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanInfo:
    """Everything known of a plan without opening it. `runs_on` are the compute capabilities it may be tried on."""

    sha256: str
    bytes: int
    library: str
    version: str
    compute_capability: str
    runs_on: tuple[str, ...]
    precision: str
    source: Source
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    profiles: tuple[Mapping[str, Range], ...]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the JSON beside a plan. WeightsMissing or WeightsCorrupt where there is none that can be read."""
        if not path.is_file():
            raise WeightsMissing(f"{path} is not there: without it no plan is trusted. Build the engines again.")
        try:
            return cls(**_parse(json.loads(path.read_text(encoding="utf-8"))))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise WeightsCorrupt(f"{path} does not describe a plan ({error}): build the engines again.") from error

    def save(self, path: Path) -> None:
        """Write the JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    def input(self, name: str) -> TensorInfo:
        """The input of that name."""
        return next(tensor for tensor in self.inputs if tensor.name == name)

    def most(self, name: str, axis: int) -> int:
        """How long an axis of an input may be at most."""
        return max(profile[name].most[axis] for profile in self.profiles)


def _parse(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has lists where a PlanInfo has tuples and dataclasses."""
    tensors = {
        side: tuple(TensorInfo(name=each["name"], dtype=each["dtype"], shape=_shape(each)) for each in values[side])
        for side in ("inputs", "outputs")
    }
    profiles = tuple({name: _range(found) for name, found in profile.items()} for profile in values["profiles"])
    source = Source(**values["source"])
    return values | tensors | {"profiles": profiles, "source": source, "runs_on": tuple(values["runs_on"])}


def _shape(tensor: Mapping[str, Any]) -> Shape:
    return tuple(int(size) for size in tensor["shape"])


def _range(found: Mapping[str, Any]) -> Range:
    return Range(**{name: tuple(int(size) for size in found[name]) for name in ("least", "usual", "most")})


def digest(data: bytes) -> str:
    """SHA-256, as hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def directory_name(library: str, compute_capability: str, precision: str) -> str:
    """What the directory of a set of plans is called."""
    return f"{library}-{compute_capability}-{precision}"
