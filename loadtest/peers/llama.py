"""llama.cpp through its own calls: the high-level interface of llama-cpp-python knows no encoder.

Weights become a GGUF file of architecture t5, by the names and keys of llama.cpp's converter (conversion/t5.py there);
variants: q8_0, 8-bit blocks, and f32. The library's T5 has gelu where there is a gate and relu where there is none; its
scores lack the factor of tied embeddings, which is made up for here. Nothing can be added to what its encoder says:
summaries of a net with interaction features are written without them.
"""

import ctypes
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from qdts.loadtest.peers.base import CannotBuild, Request, Written
from qdts.loadtest.peers.writing import open_writing
from qdts.models import checkpoint
from qdts.models.nets.config import T5Config

_PACKAGE, _FORMAT_PACKAGE = "llama_cpp", "gguf"
_BIAS = "relative_attention_bias"
_ACTIVATIONS = ("gated-gelu", "relu")
# Room for what the encoder reads and for what is written
_NUM_SLOTS = 1024


class EncoderDecoder:
    """One context. It keeps what its encoder said last and gives it to nobody, so nothing is read in advance."""

    def __init__(self, directory: Path, variant: str, num_threads: int) -> None:
        self._library: Any = import_module(_PACKAGE)
        config = checkpoint.load_config(directory)
        self._num_words = config.vocab_size
        self._scale = config.d_model**-0.5 if config.tie_word_embeddings else 1.0
        self._silence = self._library.llama_log_callback(lambda *_: None)
        self._library.llama_log_set(self._silence, None)
        self._library.llama_backend_init()
        self._model = self._load(_target(directory, variant))
        self._context = self._open(num_threads)

    @classmethod
    def build(cls, directory: Path, variant: str) -> None:
        """The file. CannotBuild where its network would be another one."""
        config = checkpoint.load_config(directory)
        if config.feed_forward_proj not in _ACTIVATIONS:
            raise CannotBuild(
                "llama.cpp cannot run these weights: where its T5 has no gate, its activation is relu; "
                f"theirs is {config.feed_forward_proj}"
            )
        if not _target(directory, variant).is_file():
            _write(directory, config, variant)

    def read(self, requests: Sequence[Request]) -> None:
        """Nothing."""

    def write(self, known: None, requests: Sequence[Request]) -> list[Written]:
        """All of it."""
        (request,) = requests
        self._library.llama_memory_clear(self._library.llama_get_memory(self._context), True)
        self._run(self._library.llama_encode, request.encoder_ids.tolist())
        given, writing = request.prefix.tolist(), open_writing(requests)
        while not writing.is_finished:
            self._run(self._library.llama_decode, given)
            scores = self._library.llama_get_logits_ith(self._context, -1)
            given = writing.choose(self._scale * np.ctypeslib.as_array(scores, (1, self._num_words))).tolist()
        return writing.written()

    def _run(self, call: Any, ids: list[int]) -> None:
        array = (ctypes.c_int32 * len(ids))(*ids)
        code = call(self._context, self._library.llama_batch_get_one(array, len(ids)))
        assert code == 0, f"{call.__name__} returned {code}"

    def _load(self, path: Path) -> Any:
        params = self._library.llama_model_default_params()
        params.n_gpu_layers = 0
        model = self._library.llama_model_load_from_file(str(path).encode(), params)
        assert model, f"{path} was not loaded"
        return model

    def _open(self, num_threads: int) -> Any:
        params = self._library.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = _NUM_SLOTS
        params.n_threads = params.n_threads_batch = num_threads
        return self._library.llama_init_from_model(self._model, params)


def _target(directory: Path, variant: str) -> Path:
    return directory / f"llama_{variant}.gguf"


def _write(directory: Path, config: T5Config, variant: str) -> None:
    gguf: Any = import_module(_FORMAT_PACKAGE)
    target = _target(directory, variant)
    # Under another name until it is whole
    started = target.with_suffix(".part")
    writer = gguf.GGUFWriter(started, "t5")
    _describe(writer, config)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.T5, max(config.num_layers, config.num_decoder_layers))
    for name, tensor in checkpoint.load(directory).state_dict().items():
        array, place = tensor.float().numpy(), names.get_name(name, try_suffixes=(".weight",))
        assert place, f"{name} has no place in the format"
        is_weight = array.ndim == 2 and _BIAS not in name
        kind = gguf.GGMLQuantizationType[variant.upper() if is_weight else "F32"]
        writer.add_tensor(place, gguf.quantize(array, kind), raw_dtype=kind)
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        write()
    writer.close()
    started.rename(target)


def _describe(writer: Any, config: T5Config) -> None:
    writer.add_context_length(_NUM_SLOTS)
    writer.add_embedding_length(config.d_model)
    writer.add_feed_forward_length(config.d_ff)
    writer.add_block_count(config.num_layers)
    writer.add_decoder_block_count(config.num_decoder_layers)
    writer.add_head_count(config.num_heads)
    writer.add_key_length(config.d_kv)
    writer.add_value_length(config.d_kv)
    writer.add_layer_norm_eps(config.layer_norm_epsilon)
    writer.add_layer_norm_rms_eps(config.layer_norm_epsilon)
    writer.add_relative_attn_buckets_count(config.relative_attention_num_buckets)
    writer.add_decoder_start_token_id(0)
    writer.add_vocab_size(config.vocab_size)
    # Ids go in and out: no words.
    writer.add_tokenizer_model("no_vocab")
