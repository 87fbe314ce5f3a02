"""Plain ONNX Runtime on plain graphs (graphs.py), with the greedy loop a user would write around them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qdts.loadtest.peers.base import Request, Written
from qdts.loadtest.peers.interaction import Interaction
from qdts.loadtest.peers.writing import FreeWriting, open_writing
from qdts.models.runtimes.base import Ids
from qdts.models.runtimes.batching import length_mask, pad_floats, pad_ids

Array = npt.NDArray[Any]
# A session on a graph, by its path and threads
OpenGraph = Callable[[Path, int], Any]
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


def open_session(path: Path, num_threads: int) -> Any:
    """A session on a graph."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class Known(NamedTuple):
    """The encoder's output (B, S, C), and its mask (B, S)."""

    hidden: Array
    mask: Array


def join(parts: Sequence[Known]) -> Known:
    """Of several documents, padded to the longest."""
    hidden = [part.hidden[0] for part in parts]
    return Known(pad_floats(hidden, axis=0), length_mask([len(row) for row in hidden]).astype(np.int64))


def encoder_inputs(documents: Sequence[Ids]) -> dict[str, Array]:
    """Padded ids and their mask, (B, S) each."""
    ids, mask = pad_ids(documents)
    return {"input_ids": ids, "attention_mask": mask.astype(np.int64)}


def prefixes(requests: Sequence[Request]) -> Array:
    """(B, P)"""
    return np.stack([request.prefix for request in requests])


class EncoderDecoder:
    """Three sessions; keys and values go in and out as arrays."""

    def __init__(self, directory: Path, variant: str, num_threads: int, open_graph: OpenGraph = open_session) -> None:
        source = directory / (INT8 if variant == "int8" else FP32)
        names = ("encoder_model", "decoder_model", "decoder_with_past_model")
        self._encoder, self._decoder, self._with_past = (
            open_graph(source / f"{name}.onnx", num_threads) for name in names
        )
        self._interaction = Interaction(directory)

    @classmethod
    def build(cls, directory: Path, variant: str) -> None:
        """The graphs."""
        ensure_graphs(directory, variant)

    def read(self, requests: Sequence[Request]) -> Known:
        """The encoder alone."""
        feeds = encoder_inputs([request.encoder_ids for request in requests])
        return Known(self._encoder.run(None, feeds)[0], feeds["attention_mask"])

    def write(self, known: Known, requests: Sequence[Request]) -> list[Written]:
        """The prefixes, then token by token."""
        hidden = self._interaction.add(known.hidden, requests, self._encode)
        feeds = {"encoder_hidden_states": hidden, "encoder_attention_mask": known.mask}
        logits, *caches = self._decoder.run(None, {"input_ids": prefixes(requests), **feeds})
        own, document = caches[: len(caches) // 2], caches[len(caches) // 2 :]
        names = [node.name for node in self._with_past.get_inputs()][2:]
        writing = open_writing(requests)
        given = writing.choose(logits[:, -1])
        while not writing.is_finished:
            feeds = {"input_ids": given[:, None], "encoder_attention_mask": known.mask}
            feeds |= dict(zip(names, [*own, *document], strict=True))
            logits, *own = self._with_past.run(None, feeds)
            given = writing.choose(logits[:, -1])
        return writing.written()

    def join(self, parts: Sequence[Known]) -> Known:
        """Padded to the longest."""
        return join(parts)

    def _encode(self, documents: Sequence[Ids]) -> Array:
        return self._encoder.run(None, encoder_inputs(documents))[0]


class DecoderOnly:
    """One session: the whole prompt first, then token by token."""

    def __init__(self, directory: Path, variant: str, num_threads: int, open_graph: OpenGraph = open_session) -> None:
        self._session = open_graph(directory / (INT8 if variant == "int8" else FP32) / "model.onnx", num_threads)
        nodes = self._session.get_inputs()[1:]
        self._empty = {node.name: np.zeros((1, node.shape[1], 0, node.shape[3]), np.float32) for node in nodes}

    @classmethod
    def build(cls, directory: Path, variant: str) -> None:
        """The graph."""
        ensure_graphs(directory, variant)

    def read(self, requests: Sequence[Request]) -> None:
        """Nothing: the query stands before the document."""

    def write(self, known: None, requests: Sequence[Request]) -> list[Written]:
        """All of it."""
        (request,) = requests
        feeds, given = dict(self._empty), request.encoder_ids[None]
        writing = FreeWriting(requests)
        while not writing.is_finished:
            logits, *caches = self._session.run(None, {"input_ids": given, **feeds})
            feeds = dict(zip(self._empty, caches, strict=True))
            given = writing.choose(logits)[:, None]
        return writing.written()
