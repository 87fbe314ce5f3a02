"""Which plan files run here, and whether they are what was built. All of it is known before one is deserialised.

A plan runs on the kind of GPU, with the library and the version that it was built for, and nowhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qdts.errors import Unsupported, WeightsCorrupt, WeightsMissing
from qdts.models.runtimes.tensorrt.plan import GRAPHS, PlanInfo, digest, directory_name

ENGINES = "engines"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is here: a library, its version, a GPU's compute capability such as "8.9"; and the precision asked for."""

    library: str
    version: str
    compute_capability: str
    precision: str

    @property
    def build_command(self) -> str:
        """What to run for plans that fit."""
        return (
            "run `qdts train engines --config FILE` with"
            f' library = "{self.library}", capabilities = ["{self.compute_capability}"],'
            f' precisions = ["{self.precision}"]'
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan that has been checked: its description and its bytes, the very ones that were hashed."""

    info: PlanInfo
    data: bytes


def load_plans(model: Path, target: Target) -> tuple[Path, Mapping[str, Plan]]:
    """Find and check the three plans of a model directory; where they lie, and each by its graph's name.

    Unsupported where they are for something else than what is here, WeightsMissing or WeightsCorrupt where they are
    not what was built.
    """
    directory = find_engines(model / ENGINES, target)
    return directory, {graph: load_plan(model, directory, graph, target) for graph in GRAPHS}


def find_engines(root: Path, target: Target) -> Path:
    """The directory of plans built for this GPU, or else of those that were built to be tried on it."""
    exact = root / directory_name(target.library, target.compute_capability, target.precision)
    if exact.is_dir():
        return exact
    others = sorted(path for path in root.glob("*") if path.is_dir())
    for path in others:
        if path.match(directory_name(target.library, "*", target.precision)):
            described = path / f"{GRAPHS[0]}.json"
            if described.is_file() and target.compute_capability in PlanInfo.load(described).runs_on:
                return path
    there = ", ".join(path.name for path in others) or "none"
    raise Unsupported(f"no engines for this GPU at {exact}; there are: {there}. Build some: {target.build_command}.")


def load_plan(model: Path, directory: Path, graph: str, target: Target) -> Plan:
    """One plan: does it fit what is here, is it whole, and is the graph still the one it was built from?"""
    info = PlanInfo.load(directory / f"{graph}.json")
    path = directory / f"{graph}.plan"
    _check_fit(path, info, target)
    if not path.is_file():
        raise WeightsMissing(f"{path} is not there. Build it again: {target.build_command}.")
    data = path.read_bytes()
    _check_bytes(path, info, data, target)
    _check_source(model, path, info, target)
    return Plan(info, data)


def _check_fit(path: Path, info: PlanInfo, target: Target) -> None:
    facts = (
        ("library", info.library, target.library),
        ("version of that library", info.version, target.version),
        ("precision", info.precision, target.precision),
    )
    for what, built, here in facts:
        if built != here:
            raise Unsupported(
                f"{path} was built for another {what}: {built}, here it is {here}."
                f" Build it again: {target.build_command}."
            )
    if target.compute_capability not in info.runs_on:
        raise Unsupported(
            f"{path} was built for another GPU, of compute capability {' or '.join(info.runs_on)}; this one has"
            f" {target.compute_capability}. Build it again: {target.build_command}."
        )


def _check_bytes(path: Path, info: PlanInfo, data: bytes, target: Target) -> None:
    if len(data) != info.bytes or digest(data) != info.sha256:
        raise WeightsCorrupt(
            f"{path} is not what was built: expected {info.bytes} bytes, sha256 {info.sha256[:12]}, found {len(data)}"
            f" bytes, sha256 {digest(data)[:12]}. It was not opened. Build it again: {target.build_command}."
        )


def _check_source(model: Path, path: Path, info: PlanInfo, target: Target) -> None:
    """A model may be shipped without the graphs; where they are, they must be those."""
    source = model / info.source.path
    if not source.resolve().is_relative_to(model.resolve()):
        raise WeightsCorrupt(
            f"{path} names a graph outside of the model directory. Build it again: {target.build_command}."
        )
    if source.is_file() and digest(source.read_bytes()) != info.source.sha256:
        raise WeightsCorrupt(
            f"{source} has changed since {path} was built from it. Build it again: {target.build_command}."
        )
