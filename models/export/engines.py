"""The stage `engines`: ONNX graphs -> TensorRT plans, one set for each kind of GPU and precision.

A set lies in `model`/engines/<library>-<capability>-<precision>: encoder, start and step, each a plan and the JSON that
runtimes/tensorrt/engines.py asks before it opens one, and the vocabulary's table. A manifest that is there lists them.
"""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import onnx

from qdts.errors import Unsupported, WeightsMissing
from qdts.models import checkpoint, manifest
from qdts.models.export.builder import Built, Job, PlanBuilder
from qdts.models.export.config import CURRENT, EnginesConfig, EngineShapes
from qdts.models.export.half import halve
from qdts.models.export.to_onnx import export_graphs
from qdts.models.runtimes.embedding import EMBEDDING
from qdts.models.runtimes.tensorrt.engines import ENGINES
from qdts.models.runtimes.tensorrt.library import LIBRARIES, Library, load_library
from qdts.models.runtimes.tensorrt.plan import GRAPHS, PlanInfo, Range, Source, digest, directory_name

_onnx = cast(Any, onnx)
# Where each precision's graphs lie, and the type that what is wide in them is narrowed to.
_SOURCES = {
    "fp32": ("fp32", None),
    "fp16": ("fp32", "fp16"),
    "bf16": ("fp32", "bf16"),
    "int8": ("int8_qdq", "fp16"),
    "fp8": ("fp8_qdq", "fp16"),
}
# Of a free dimension's sizes the one to optimise for, where it is allowed: a few requests, a page, a short draft.
_USUAL = {"B": 8, "S": 384, "T": 8, "P": 64}


def build_engines(config: EnginesConfig) -> list[Path]:
    """Build every set that the config names; their directories."""
    library = load_library((config.library,) if config.library else LIBRARIES)
    builder, here = PlanBuilder(library), current_capability()
    capabilities = [_resolve(capability, here) for capability in config.capabilities]
    for capability in capabilities:
        builder.check_capability(capability, here)
    sets = [(capability, precision) for capability in capabilities for precision in config.precisions]
    return [_build_set(config, library, builder, *each) for each in sets]


def current_capability() -> str | None:
    """The compute capability of this machine's GPU, such as "8.9"; None where there is none."""
    import torch

    if not torch.cuda.is_available():
        return None
    major, minor = torch.cuda.get_device_capability()
    return f"{major}.{minor}"


def _resolve(capability: str, here: str | None) -> str:
    if capability == CURRENT and here is None:
        raise Unsupported(
            'capabilities = ["current"] asks for this machine\'s GPU, and there is none: name one, such as "8.9"'
        )
    return cast(str, here) if capability == CURRENT else capability


def _build_set(config: EnginesConfig, library: Library, builder: PlanBuilder, capability: str, precision: str) -> Path:
    """A whole set or none: what a build that failed has left would be refused file by file."""
    target = config.model / ENGINES / directory_name(library.name, capability, precision)
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        graphs = _find_graphs(config.model, precision, Path(scratch) / "onnx")
        made = Path(scratch) / target.name
        made.mkdir()
        for name in GRAPHS:
            job = _job(config, graphs / f"{name}.onnx", capability, precision)
            built = builder.build(job)
            (made / f"{name}.plan").write_bytes(built.data)
            _describe(config, library, job, built, precision).save(made / f"{name}.json")
        shutil.copyfile(graphs / EMBEDDING, made / EMBEDDING)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(made, target)
    _list_in_manifest(config.model)
    return target


def _describe(config: EnginesConfig, library: Library, job: Job, built: Built, precision: str) -> PlanInfo:
    return PlanInfo(
        sha256=digest(built.data),
        bytes=len(built.data),
        library=library.name,
        version=library.version,
        compute_capability=job.compute_capability,
        runs_on=(job.compute_capability, *config.try_on),
        precision=precision,
        source=Source(path=f"onnx/{job.source.parent.name}/{job.source.name}", sha256=digest(job.source.read_bytes())),
        inputs=built.inputs,
        outputs=built.outputs,
        profiles=(job.profile,),
    )


def _find_graphs(model: Path, precision: str, scratch: Path) -> Path:
    """The directory of the ONNX graphs for a precision; fp32 ones that are not there are made in `scratch`."""
    kind = _SOURCES[precision][0]
    graphs = model / "onnx" / kind
    if kind == "fp32" and not graphs.is_dir():
        # Releases leave them out: they are as large as the weights.
        export_graphs(checkpoint.load(model), scratch / kind)
        return scratch / kind
    for file in (*(f"{name}.onnx" for name in GRAPHS), EMBEDDING):
        if not (graphs / file).is_file():
            stage = "export" if kind == "fp32" else "explicit"
            raise WeightsMissing(f"{graphs / file} is not there: run the stage {stage} first")
    return graphs


def _job(config: EnginesConfig, path: Path, capability: str, precision: str) -> Job:
    half = _SOURCES[precision][1]
    model = path.read_bytes() if half is None else halve(path, "bf16" if half == "bf16" else "fp16")
    return Job(
        source=path,
        graph=model,
        compute_capability=capability,
        profile=dict(_profile(_onnx.load_from_string(model), config.shapes)),
        # fp32 is for token equality with other runtimes: TF32 rounds to 10 bits what it multiplies.
        uses_tf32=precision != "fp32",
        timing_cache=config.model / ENGINES / f"{capability}.timing",
    )


def _profile(model: Any, shapes: EngineShapes) -> Iterator[tuple[str, Range]]:
    """The range of every input, from the names that the exporter gave its free dimensions: B, S, T, P (to_onnx.py)."""
    most = {"B": shapes.max_batch, "S": shapes.max_document, "T": shapes.max_step, "P": shapes.max_slots}
    usual = {name: min(_USUAL[name], limit) for name, limit in most.items()}
    least = dict.fromkeys(most, 1)
    for tensor in model.graph.input:
        sizes = [axis.dim_param or int(axis.dim_value) for axis in tensor.type.tensor_type.shape.dim]
        low, middle, high = (
            tuple(size if isinstance(size, int) else bounds[size] for size in sizes)
            for bounds in (cast(Mapping[str, int], each) for each in (least, usual, most))
        )
        yield tensor.name, Range(least=low, usual=middle, most=high)


def _list_in_manifest(model: Path) -> None:
    """A released directory with a file that its manifest does not list is refused as a whole."""
    if (model / manifest.MANIFEST).is_file():
        files = (path for path in (model / ENGINES).rglob("*") if path.is_file())
        manifest.add(model, sorted(path.relative_to(model).as_posix() for path in files))
