"""Which systems there are, and which cannot run here."""

import importlib.util
from collections.abc import Sequence

from qdts.loadtest.peers.base import Family, Role, System

ORACLE = "eager_fp32"
OURS, UNDRAFTED, PRODUCT = "ours_int8", "ours_int8_undrafted", "ours_copy"
SEED_ORACLE = "seed_eager_fp32"
# The best of them is what `*_vs_best_peer` compares with; plain ONNX Runtime stands beside them.
JUDGED = ("transformers", "ctranslate2", "openvino")

_HERE = "qdts.loadtest.peers"


def _peer(name: str, engine: str, variant: str, *packages: str, keeps_states: bool = True) -> System:
    return System(
        name=name,
        engine=f"{_HERE}.{engine}",
        variant=variant,
        role=Role.PEER,
        packages=packages,
        keeps_states=keeps_states,
    )


def _seed(name: str, engine: str, variant: str, *packages: str) -> System:
    return System(
        name=name,
        engine=f"{_HERE}.{engine}",
        variant=variant,
        role=Role.SEED,
        family=Family.DECODER_ONLY,
        packages=packages,
    )


SYSTEMS = (
    System(name=ORACLE, engine=f"{_HERE}.ours:Ours", variant="fp32_eager", role=Role.ORACLE, keeps_states=True),
    System(name="ours_fp32", engine=f"{_HERE}.ours:Ours", variant="fp32", role=Role.OURS, keeps_states=True),
    System(name=UNDRAFTED, engine=f"{_HERE}.ours:Ours", variant="int8", role=Role.OURS, keeps_states=True),
    System(name=OURS, engine=f"{_HERE}.ours:Drafted", variant="int8", role=Role.OURS, keeps_states=True),
    System(name=PRODUCT, engine=f"{_HERE}.ours:Product", variant="int8", role=Role.PRODUCT, keeps_states=True),
    _peer("transformers_fp32", "hugging_face:EncoderDecoder", "fp32", "transformers"),
    _peer("transformers_bf16", "hugging_face:EncoderDecoder", "bf16", "transformers"),
    _peer("ctranslate2_fp32", "ctranslate:EncoderDecoder", "fp32", "ctranslate2", "transformers", keeps_states=False),
    _peer("ctranslate2_int8", "ctranslate:EncoderDecoder", "int8", "ctranslate2", "transformers", keeps_states=False),
    _peer("openvino_fp32", "open_vino:EncoderDecoder", "fp32", "openvino", "nncf"),
    _peer("openvino_int8", "open_vino:EncoderDecoder", "int8", "openvino", "nncf"),
    _peer("openvino_int8_f32", "open_vino:EncoderDecoder", "int8_f32", "openvino", "nncf"),
    _peer("onnxruntime_fp32", "plain_onnx:EncoderDecoder", "fp32"),
    _peer("onnxruntime_int8", "plain_onnx:EncoderDecoder", "int8"),
    _seed(SEED_ORACLE, "ours:SeedEager", "fp32"),
    _seed("seed_transformers_bf16", "hugging_face:DecoderOnly", "bf16", "transformers"),
    _seed("seed_ctranslate2_int8", "ctranslate:DecoderOnly", "int8", "ctranslate2", "transformers"),
    _seed("seed_openvino_int8", "open_vino:DecoderOnly", "int8", "openvino", "nncf"),
    _seed("seed_openvino_int8_f32", "open_vino:DecoderOnly", "int8_f32", "openvino", "nncf"),
    _seed("seed_onnxruntime_fp32", "plain_onnx:DecoderOnly", "fp32"),
    _seed("seed_onnxruntime_int8", "plain_onnx:DecoderOnly", "int8"),
)
# For a quick run: what the headline figures need, of each engine the variant that is fastest; transformers never is.
QUICK = (
    ORACLE,
    "ours_fp32",
    OURS,
    UNDRAFTED,
    "ctranslate2_int8",
    "openvino_int8_f32",
    "onnxruntime_int8",
    "seed_onnxruntime_int8",
)


def llama_cpp_absence(feed_forward: str) -> dict[str, str]:
    """Why llama.cpp is in no row, by a T5's `feed_forward_proj`."""
    if feed_forward == "gelu":
        # src/models/t5.cpp: LLM_FFN_RELU unless there is a gate
        return {"llama_cpp": "cannot run these weights: its T5 has relu where there is no gate, they have gelu"}
    return {"llama_cpp": "could load these weights; there is no adapter for it yet"}


def absent_packages(system: System) -> list[str]:
    """What it imports and is not installed."""
    return [name for name in system.packages if importlib.util.find_spec(name) is None]


def split_absent(systems: Sequence[System]) -> tuple[list[System], dict[str, str]]:
    """Those that can run here, and for each other one the reason why not."""
    missing = {system.name: absent_packages(system) for system in systems}
    present = [system for system in systems if not missing[system.name]]
    return present, {name: f"not installed: {', '.join(found)}" for name, found in missing.items() if found}
