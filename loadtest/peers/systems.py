"""Which systems there are, and which cannot run here."""

import importlib.util
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from qdts.loadtest.peers.base import Family, Role, System, Text, Way

ORACLE = "eager_fp32"
OURS, SHORT_DRAFTS, UNDRAFTED = "ours_int8", "ours_int8_short_drafts", "ours_int8_undrafted"
SEED_ORACLE = "seed_eager_fp32"
# The best of them is what `*_vs_best_peer` compares with; plain ONNX Runtime and llama.cpp stand beside them.
JUDGED = ("transformers", "ctranslate2", "openvino")

# What these weights write freely, without features and constraint, repeats itself, often one marker: long drafts of it
# could flatter us. On 1,000 rows of real summaries a plain copy drafter makes 13.3 tokens a step, what is served 18.6
# (loadtest/results/decoding.json); here a step makes at most one more than this. Of a run of equal tokens the suffix
# automaton drafts one, so the cap is seldom reached.
DRAFT_CAP = 7
# What the issue asks of real summaries at least: three tokens a step
SHORT_DRAFT_CAP = 2

_HERE = "qdts.loadtest.peers"
# Threads of torch are those of the process: no PARALLEL there. A translator takes text alone: nothing to join.
# llama.cpp is given one request at a time.
_TORCH_WAYS = (Way.WHOLE, Way.JOINED, Way.IN_TURN)
_TEXT_WAYS = (Way.WHOLE, Way.IN_TURN, Way.PARALLEL)
_SINGLE_WAYS = (Way.IN_TURN, Way.PARALLEL)
_ALL_WAYS = (Way.WHOLE, Way.JOINED, Way.IN_TURN, Way.PARALLEL)
_ENGINES = {
    "transformers": ("hugging_face", _TORCH_WAYS, ("transformers",)),
    "ctranslate2": ("ctranslate", _TEXT_WAYS, ("ctranslate2", "transformers")),
    "openvino": ("open_vino", _ALL_WAYS, ("openvino", "nncf")),
    "onnxruntime": ("plain_onnx", _ALL_WAYS, ()),
    "llama": ("llama", _SINGLE_WAYS, ("llama_cpp", "gguf")),
}


# Engines whose users cannot tell them what the next token may be
_UNLED = ("ctranslate2",)


def _ours(name: str, variant: str, role: Role = Role.OURS, texts: tuple[Text, ...] = tuple(Text)) -> System:
    return System(name=name, engine=f"{_HERE}.ours:Ours", variant=variant, role=role, keeps_states=True, texts=texts)


def _peer(package: str, variant: str) -> System:
    module, ways, packages = _ENGINES[package]
    return System(
        name=f"{package}_{variant}",
        engine=f"{_HERE}.{module}:EncoderDecoder",
        variant=variant,
        role=Role.PEER,
        packages=packages,
        keeps_states=Way.JOINED in ways,
        ways=ways,
        writes_summaries=package not in _UNLED,
    )


def _seed(package: str, variant: str) -> System:
    module, _, packages = _ENGINES[package]
    return System(
        name=f"seed_{package}_{variant}",
        engine=f"{_HERE}.{module}:DecoderOnly",
        variant=variant,
        role=Role.SEED,
        family=Family.DECODER_ONLY,
        packages=packages,
        ways=(),
        writes_summaries=False,
    )


SYSTEMS = (
    _ours(ORACLE, "fp32_eager", Role.ORACLE),
    _ours("ours_fp32", "fp32"),
    _ours(UNDRAFTED, "int8"),
    _ours(SHORT_DRAFTS, f"int8_draft{SHORT_DRAFT_CAP}", texts=(Text.FREE,)),
    _ours(OURS, f"int8_draft{DRAFT_CAP}"),
    _peer("transformers", "fp32"),
    _peer("transformers", "bf16"),
    # It drafts for one sequence alone.
    replace(_peer("transformers", "fp32_lookup"), ways=(Way.IN_TURN,)),
    _peer("ctranslate2", "fp32"),
    _peer("ctranslate2", "int8"),
    _peer("openvino", "fp32"),
    _peer("openvino", "int8"),
    _peer("openvino", "int8_f32"),
    _peer("openvino", "ptq"),
    _peer("openvino", "ptq_f32"),
    _peer("onnxruntime", "fp32"),
    _peer("onnxruntime", "int8"),
    _peer("llama", "q8_0"),
    System(
        name=SEED_ORACLE,
        engine=f"{_HERE}.ours:SeedEager",
        variant="fp32",
        role=Role.SEED,
        family=Family.DECODER_ONLY,
        ways=(),
        writes_summaries=False,
    ),
    _seed("transformers", "bf16"),
    _seed("ctranslate2", "int8"),
    _seed("openvino", "int8"),
    _seed("openvino", "int8_f32"),
    _seed("openvino", "ptq"),
    _seed("openvino", "ptq_f32"),
    _seed("onnxruntime", "fp32"),
    _seed("onnxruntime", "int8"),
)

# For a quick run: what the headline figures need, and of the judged peers the one that was the fastest in the last full
# run; the report names the others as left out. Without plain ONNX Runtime `*_of_all` says nothing new.
QUICK = (ORACLE, "ours_fp32", OURS, UNDRAFTED, "openvino_ptq_f32")
QUICK_SEED = "seed_openvino_int8"


def quick_systems(results: Path) -> tuple[str, ...]:
    """Names for a quick run; of the seed's engines the fastest of the last full run, if that is told and it is quickly
    built."""
    return (*QUICK, fastest_seed(results) or QUICK_SEED)


def fastest_seed(results: Path) -> str | None:
    """The seed's engine that the results of a full run name as the fastest, if there is one of that name. None where
    it has to be calibrated: that takes half a minute, for 6 % in speed."""
    if not results.is_file():
        return None
    name = json.loads(results.read_text(encoding="utf-8"))["figures"].get("best_seed_engine")
    return name if name in {system.name for system in SYSTEMS if "ptq" not in system.variant} else None


def with_draft_cap(system: System, cap: int) -> System:
    """The same, but for ours: drafts of at most so many tokens."""
    return replace(system, variant=f"int8_draft{cap}") if system.name == OURS else system


def absent_packages(system: System) -> list[str]:
    """What it imports and is not installed."""
    return [name for name in system.packages if importlib.util.find_spec(name) is None]


def split_absent(systems: Sequence[System]) -> tuple[list[System], dict[str, str]]:
    """Those that can run here, and for each other one the reason why not."""
    missing = {system.name: absent_packages(system) for system in systems}
    present = [system for system in systems if not missing[system.name]]
    return present, {name: f"not installed: {', '.join(found)}" for name, found in missing.items() if found}
