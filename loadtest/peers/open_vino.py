"""OpenVINO on the plain graphs, the decoder's own keys and values kept as the model's state.

int8: weights by nncf, which computes in floats; ptq: weights and activations, calibrated (ptq.py).

The plug-in chooses bf16 where the CPU has it; the variants with f32 forbid that: which is faster differs by shape.
"""

import logging
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy.typing as npt

from qdts.loadtest.peers import ptq
from qdts.loadtest.peers.base import Request, Written
from qdts.loadtest.peers.interaction import Interaction
from qdts.loadtest.peers.plain_onnx import FP32, Known, encoder_inputs, ensure_graphs, join, prefixes
from qdts.loadtest.peers.writing import FreeWriting, open_writing
from qdts.models.runtimes.base import Ids

Array = npt.NDArray[Any]
_PACKAGE = "openvino"
_OWN, _MASK = ".decoder.", "encoder_attention_mask"
PTQ = "ptq"
_F32 = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}
_HINTS: Mapping[str, Mapping[str, str]] = {"fp32": _F32, "int8": {}, "int8_f32": _F32, PTQ: {}, f"{PTQ}_f32": _F32}


class EncoderDecoder:
    """Encoder, prefix, step. The document's keys and values are inputs of the step, its own ones its state."""

    def __init__(self, directory: Path, variant: str, num_threads: int) -> None:
        source = _target(directory, variant)
        names = ("encoder_model", "decoder_model", "decoder_with_past_model")
        self._encoder, self._decoder, self._step = (
            _Model(source / f"{name}.xml", variant, num_threads) for name in names
        )
        self._interaction = Interaction(directory)

    @classmethod
    def build(cls, directory: Path, variant: str) -> None:
        """Convert and compress or quantise."""
        _build(directory, variant)

    def read(self, requests: Sequence[Request]) -> Known:
        """The encoder alone."""
        inputs = encoder_inputs([request.encoder_ids for request in requests])
        self._encoder.run(**inputs)
        return Known(self._encoder.output("last_hidden_state").copy(), inputs["attention_mask"])

    def write(self, known: Known, requests: Sequence[Request]) -> list[Written]:
        """The prefixes, then token by token."""
        hidden = self._interaction.add(known.hidden, requests, self._encode)
        self._decoder.run(input_ids=prefixes(requests), encoder_hidden_states=hidden, encoder_attention_mask=known.mask)
        writing = open_writing(requests)
        chosen = writing.choose(self._decoder.output("logits")[:, -1])
        document = {name: self._decoder.output(_present(name)) for name in self._step.inputs if ".encoder." in name}
        self._step.start(self._decoder)
        given = {"encoder_attention_mask": known.mask, **document}
        while not writing.is_finished:
            # What was given once stays set.
            self._step.run(input_ids=chosen[:, None], **given)
            chosen = writing.choose(self._step.output("logits")[:, -1])
            given = {}
        return writing.written()

    def join(self, parts: Sequence[Known]) -> Known:
        """Padded to the longest."""
        return join(parts)

    def _encode(self, documents: Sequence[Ids]) -> Array:
        self._encoder.run(**encoder_inputs(documents))
        return self._encoder.output("last_hidden_state")


class DecoderOnly:
    """One model: the whole prompt first, then token by token."""

    def __init__(self, directory: Path, variant: str, num_threads: int) -> None:
        self._model = _Model(_target(directory, variant) / "model.xml", variant, num_threads)

    @classmethod
    def build(cls, directory: Path, variant: str) -> None:
        """Convert and compress or quantise."""
        _build(directory, variant)

    def read(self, requests: Sequence[Request]) -> None:
        """Nothing: the query stands before the document."""

    def write(self, known: None, requests: Sequence[Request]) -> list[Written]:
        """All of it."""
        (request,) = requests
        self._model.start()
        given, writing = request.encoder_ids[None], FreeWriting(requests)
        while not writing.is_finished:
            self._model.run(input_ids=given)
            given = writing.choose(self._model.output("logits"))[:, None]
        return writing.written()


class _Model:
    """A compiled model with its one request."""

    def __init__(self, path: Path, variant: str, num_threads: int) -> None:
        openvino = import_module(_PACKAGE)
        config = {"INFERENCE_NUM_THREADS": str(num_threads), **_HINTS[variant]}
        compiled: Any = openvino.Core().compile_model(path, "CPU", config)
        self._tensor = openvino.Tensor
        self._request: Any = compiled.create_infer_request()
        self.inputs = [node.get_any_name() for node in compiled.inputs]

    def run(self, **inputs: Array) -> None:
        """Set these inputs, keep the others, compute."""
        for name, array in inputs.items():
            self._request.set_tensor(name, self._tensor(array, shared_memory=True))
        self._request.infer()

    def output(self, name: str) -> Array:
        """A view, good until the next run."""
        return self._request.get_tensor(name).data

    def start(self, before: "_Model | None" = None) -> None:
        """Forget the state, or take it over from the outputs of the model that read the prefix."""
        self._request.reset_state()
        if before is not None:
            for variable in self._request.query_state():
                # A state is called like its input and its output, one after the other.
                name = variable.name[variable.name.index("present") :]
                variable.state = self._tensor(before.output(name))


def _present(name: str) -> str:
    return name.replace("past", "present", 1)


def _target(directory: Path, variant: str) -> Path:
    return directory / f"openvino_{variant.partition('_')[0]}"


def _build(directory: Path, variant: str) -> None:
    target = _target(directory, variant)
    if target.is_dir():
        return
    ensure_graphs(directory, "fp32")
    logging.getLogger("nncf").setLevel(logging.ERROR)
    core = import_module(_PACKAGE).Core()
    models = {path.stem: core.read_model(path) for path in sorted((directory / FP32).glob("*.onnx"))}
    if variant.startswith(PTQ):
        feeds = ptq.record(directory)
        models = {name: ptq.quantize(model, feeds[name], name) for name, model in models.items()}
    _save(models, target, compressed=variant.startswith("int8"))


def _save(models: Mapping[str, Any], target: Path, *, compressed: bool) -> None:
    target.mkdir()
    for name, model in models.items():
        _keep_state(model)
        if compressed:
            model = import_module("nncf").compress_weights(model)
        import_module(_PACKAGE).save_model(model, target / f"{name}.xml", compress_to_fp16=False)


def _keep_state(model: Any) -> None:
    """The decoder's own keys and values become state."""
    names = {node.get_any_name(): node for node in model.inputs}
    own = [name for name in names if _OWN in name]
    if not own:
        return
    if _MASK not in names:
        _for_one_sequence(model)
    transformations: Any = import_module(f"{_PACKAGE}._offline_transformations")
    transformations.apply_make_stateful_transformation(model, {name: _present(name) for name in own})


def _for_one_sequence(model: Any) -> None:
    """Its state can then be empty at first: nothing else gives it a size."""
    for node in model.inputs:
        shape = node.get_partial_shape()
        shape[0] = 1
        node.get_node().set_partial_shape(shape)
    model.validate_nodes_and_infer_types()
