"""Plain ONNX Runtime on plain graphs (graphs.py), with the greedy loop a user would write around them."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qdts.loadtest.peers.base import Request, Written

Array = npt.NDArray[Any]
FP32, INT8 = "plain_onnx/fp32", "plain_onnx/int8"


def ensure_graphs(directory: Path, variant: str) -> None:
    """Export, and quantise where the variant asks for it, what is not there yet."""
    from qdts.loadtest.peers import graphs, nets
    from qdts.models import checkpoint

    if not (directory / FP32).is_dir():
        if (directory / "config.json").is_file():
            graphs.export_encoder_decoder(checkpoint.load(directory), directory / FP32)
        else:
            graphs.export_decoder_only(nets.read_seed(directory), directory / FP32)
    if variant == "int8" and not (directory / INT8).is_dir():
        graphs.quantize(directory / FP32, directory / INT8)


class Known(NamedTuple):
    """The encoder's output (1, S, C), and its mask (1, S)."""

    hidden: Array
    mask: Array


class EncoderDecoder:
    """Three sessions; keys and values go in and out as arrays."""

    def __init__(self, directory: Path, variant: str, num_threads: int) -> None:
        source = directory / (INT8 if variant == "int8" else FP32)
        names = ("encoder_model", "decoder_model", "decoder_with_past_model")
        self._encoder, self._decoder, self._with_past = (_open(source / f"{name}.onnx", num_threads) for name in names)

    @classmethod
    def build(cls, directory: Path, variant: str) -> None:
        """The graphs."""
        ensure_graphs(directory, variant)

    def read(self, request: Request) -> Known:
        """The encoder alone."""
        mask = np.ones((1, len(request.encoder_ids)), np.int64)
        return Known(self._encoder.run(None, {"input_ids": request.encoder_ids[None], "attention_mask": mask})[0], mask)

    def write(self, known: Known, request: Request) -> Written:
        """The prefix, then token by token."""
        feeds = {"encoder_hidden_states": known.hidden, "encoder_attention_mask": known.mask}
        logits, *caches = self._decoder.run(None, {"input_ids": request.prefix[None], **feeds})
        own, document = caches[: len(caches) // 2], caches[len(caches) // 2 :]
        names = [node.name for node in self._with_past.get_inputs()][2:]
        tokens = [int(logits[0, -1].argmax())]
        while len(tokens) < request.num_tokens:
            feeds = {"input_ids": np.array([tokens[-1:]], np.int64), "encoder_attention_mask": known.mask}
            feeds |= dict(zip(names, [*own, *document], strict=True))
            logits, *own = self._with_past.run(None, feeds)
            tokens.append(int(logits[0, -1].argmax()))
        return Written(tokens=tokens, num_steps=len(tokens))


class DecoderOnly:
    """One session: the whole prompt first, then token by token."""

    def __init__(self, directory: Path, variant: str, num_threads: int) -> None:
        self._session = _open(directory / (INT8 if variant == "int8" else FP32) / "model.onnx", num_threads)
        nodes = self._session.get_inputs()[1:]
        self._empty = {node.name: np.zeros((1, node.shape[1], 0, node.shape[3]), np.float32) for node in nodes}

    @classmethod
    def build(cls, directory: Path, variant: str) -> None:
        """The graph."""
        ensure_graphs(directory, variant)

    def read(self, request: Request) -> None:
        """Nothing: the query stands before the document."""

    def write(self, known: None, request: Request) -> Written:
        """All of it."""
        feeds, given = dict(self._empty), request.encoder_ids[None]
        tokens: list[int] = []
        while len(tokens) < request.num_tokens:
            logits, *caches = self._session.run(None, {"input_ids": given, **feeds})
            tokens.append(int(logits[0].argmax()))
            feeds = dict(zip(self._empty, caches, strict=True))
            given = np.array([tokens[-1:]], np.int64)
        return Written(tokens=tokens, num_steps=len(tokens))


def _open(path: Path, num_threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
