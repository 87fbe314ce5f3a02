"""The stage `fold`: an encoder-decoder whose encoder starts as all-MiniLM-L6-v2, for our own vocabulary."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor

from qdts.models.interaction import NUM_FEATURES
from qdts.models.nets.config import T5Config
from qdts.models.nets.t5 import T5, EncoderBlock, FeedForwardLayer, SelfAttentionLayer
from qdts.models.tokenizer import Tokenizer
from qdts.models.training.config import check_at_least
from qdts.models.training.data.corpus import sample_documents
from qdts.models.training.fold import FoldSettings, fold
from qdts.models.training.fold_vocabulary import fold_vocabulary
from qdts.models.training.minilm import MiniLmEncoder, load_minilm
from qdts.models.training.run import write_model

READOUT = "readout.safetensors"
_SKIPPED_CHARS = 200  # a document's head is titles
_TEXT_CHARS = 1200


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldConfig:
    """`model` holds tokenizer.json and lexicon.safetensors; a sample of the corpus files' documents is fitted to."""

    model: Path
    corpus: tuple[Path, ...]
    out: Path
    num_decoder_layers: int = 2
    num_documents: int = 120
    tokens_per_document: int = 224
    # Of the corpus, so that the sample comes from all over it.
    share: float = 0.02
    settings: FoldSettings = field(default_factory=FoldSettings)
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least(self, 1, ("num_decoder_layers", "num_documents", "tokens_per_document"))
        if not 0.0 < self.share <= 1.0:
            raise ValueError(f"share must lie in (0, 1], is {self.share}")


def run_fold(config: FoldConfig) -> None:
    """Write `out`, a model directory, and in it readout.safetensors: the map from our states to MiniLM's."""
    teacher = load_minilm()
    tokenizer = Tokenizer.load(config.model / "tokenizer.json")
    torch.manual_seed(config.seed)  # pyright: ignore[reportUnknownMemberType]
    net = T5(folded_shape(teacher, tokenizer.vocab_size, config.num_decoder_layers))
    documents = sample_documents(config.corpus, config.share, config.seed)
    sample = teacher.tokenizer(
        calibration_texts(documents, config.num_documents),
        padding=True,
        truncation=True,
        max_length=config.tokens_per_document,
        return_tensors="pt",
    )
    folded = fold(teacher.bert, net, sample["input_ids"], sample["attention_mask"], config.settings)
    set_embeddings(net, fold_vocabulary(tokenizer, teacher.tokenizer, folded.table, config.seed))
    write_model(net, config.out, config.model)
    save_file({"readout": folded.readout.contiguous()}, config.out / READOUT)


def folded_shape(teacher: MiniLmEncoder, vocab_size: int, num_decoder_layers: int) -> T5Config:
    """The T5 that has the teacher's sizes."""
    bert = teacher.bert.config
    return T5Config(
        vocab_size=vocab_size,
        d_model=bert.hidden_size,
        d_kv=bert.hidden_size // bert.num_attention_heads,
        d_ff=bert.intermediate_size,
        num_layers=bert.num_hidden_layers,
        num_decoder_layers=num_decoder_layers,
        num_heads=bert.num_attention_heads,
        feed_forward_proj=bert.hidden_act,
        num_features=NUM_FEATURES,
        dropout_rate=0.0,
    )


def calibration_texts(documents: Iterable[str], limit: int) -> list[str]:
    """The beginnings of the first `limit` documents that are long enough."""
    texts = (" ".join(document.split()) for document in documents)
    long = (text[_SKIPPED_CHARS : _SKIPPED_CHARS + _TEXT_CHARS] for text in texts if len(text) > 2 * _SKIPPED_CHARS)
    return list(islice(long, limit))


@torch.no_grad()
def set_embeddings(net: T5, table: Tensor) -> None:
    """Put `table` (V, C) in, scaled to a root mean square of 1: the tied output layer expects it.

    What the encoder adds to its stream is scaled with it, and its norms see no difference.
    """
    factor = 1 / table.pow(2).mean().sqrt()
    for module in net.encoder.block:
        attention, feed_forward = cast(EncoderBlock, module).layer
        cast(SelfAttentionLayer, attention).SelfAttention.o.weight.mul_(factor)
        cast(FeedForwardLayer, feed_forward).DenseReluDense.wo.weight.mul_(factor)
    net.shared.weight.copy_(table * factor)
