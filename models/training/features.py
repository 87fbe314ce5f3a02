"""Feature distillation: the encoder's states learn to be those of all-MiniLM-L6-v2, by word and by passage.

The two cut text differently, so what is compared is the mean state of each word. Three terms: the squared error
of words as a share of the teacher's variance; one minus the cosine of passages (the mean over tokens, which is what
MiniLM was trained for); the squared error of the passages' similarities to one another. After Romero et al. 2015
("FitNets", arXiv 1412.6550), for the encoder alone: the decoder is not touched.

Knows nothing of how the encoder started; `fold.py` is a start that is nearly there.
Shapes: B windows · S our tokens · R word pieces · W words · C our channels · D the teacher's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qdts.models.nets.flops import TRAINING_FACTOR, encoder_flops
from qdts.models.nets.t5 import T5
from qdts.models.runtimes.base import Ids
from qdts.models.runtimes.batching import pad_ids
from qdts.models.tokenizer import DOCUMENT, NUM_MARKERS, SPECIAL_TOKENS, Tokenizer, marker
from qdts.models.training.minilm import MiniLmEncoder
from qdts.models.training.shards import TokenShards
from qdts.models.training.task import Outcome
from qdts.models.training.windows import WindowStream

_PASSAGE_WEIGHT = 2.0
_SIMILARITY_WEIGHT = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureBatch:
    """ids (B, S); pieces and their mask (B, R); the word of each, counted through the batch, -1 for none."""

    ids: Ids
    words: Ids
    pieces: Ids
    piece_mask: npt.NDArray[np.bool_]
    piece_words: Ids
    num_words: int


class FeatureNet(nn.Module):
    """The net and the map from its encoder's states to the teacher's, which only training needs."""

    def __init__(self, net: T5, width: int, readout: Tensor | None = None) -> None:
        super().__init__()
        self.net = net
        self.readout = nn.Linear(net.config.d_model, width, bias=False)
        if readout is not None:
            with torch.no_grad():
                self.readout.weight.copy_(readout)


class FeatureTask:
    """Windows of shards, each sentence behind a marker as prompts have it, numbered from a random one."""

    def __init__(self, shards: TokenShards, tokenizer: Tokenizer, teacher: MiniLmEncoder, stream: WindowStream) -> None:
        self._shards, self._tokenizer, self._teacher, self._stream = shards, tokenizer, teacher, stream

    def batches(self) -> Iterator[FeatureBatch]:
        """A function of shards and the stream's seed alone."""
        return self.batches_from(0)

    def batches_from(self, step: int) -> Iterator[FeatureBatch]:
        """The stream without its first `step` batches."""
        return (self._make(starts, rng) for starts, rng in self._stream.windows_from(step))

    def _make(self, starts: Ids, rng: np.random.Generator) -> FeatureBatch:
        windows = self._shards.read(starts, self._stream.window)
        sentences = [self._shards.sentence_starts(int(start), self._stream.window) for start in starts]
        rows = [mark_sentences(*pair, rng) for pair in zip(windows, sentences, strict=True)]
        words = [self._word_starts(row) for row in rows]
        texts = [self._word_texts(row, index) for row, index in zip(rows, words, strict=True)]
        encoded = self._teacher.tokenizer(texts, is_split_into_words=True, padding=True, truncation=True)
        piece_words = [encoded.word_ids(row) for row in range(len(rows))]
        longest = max(len(text) for text in texts)
        ids, mask = pad_ids(rows)
        return FeatureBatch(
            ids=ids,
            words=_through_batch(np.where(mask, pad_ids(words)[0], -1), longest),
            pieces=np.array(encoded["input_ids"], np.int64),
            piece_mask=np.array(encoded["attention_mask"], np.bool_),
            piece_words=_through_batch(_word_numbers(piece_words), longest),
            num_words=longest * len(rows),
        )

    def _word_starts(self, ids: Ids) -> Ids:
        """Which word each token is of (S,), -1 for special tokens."""
        special = ids < len(SPECIAL_TOKENS)
        begins = np.array([self._tokenizer.begins_word(int(token)) for token in ids]) & ~special
        # What follows a marker begins a word, whatever it is.
        begins |= ~special & np.concatenate([[True], special[:-1]])
        return np.where(special, -1, np.cumsum(begins) - 1)

    def _word_texts(self, ids: Ids, words: Ids) -> list[str]:
        groups: list[list[int]] = [[] for _ in range(int(words.max()) + 1)]
        for token, word in zip(ids.tolist(), words.tolist(), strict=True):
            if word >= 0:
                groups[word].append(token)
        return [self._tokenizer.decode(group) or "." for group in groups]

    def loss(self, net: nn.Module, batch: FeatureBatch) -> Outcome:
        """`net` is a FeatureNet."""
        return feature_loss(cast(FeatureNet, net), self._teacher.bert, batch)


def feature_loss(net: FeatureNet, bert: Any, batch: FeatureBatch) -> Outcome:
    """The three terms; reports the cosines of words and passages beside them."""
    device = net.readout.weight.device
    to = partial(_tensor, device=device)
    ids, piece_mask = to(batch.ids), to(batch.piece_mask)
    mask = ids > 0
    with torch.no_grad():
        theirs = bert(input_ids=to(batch.pieces), attention_mask=piece_mask.long()).last_hidden_state.float()
    ours = net.readout(net.net.encode(ids, mask)).float()  # (B, S, D)
    our_words, ours_present = _word_means(ours, to(batch.words), batch.num_words)
    their_words, theirs_present = _word_means(theirs, to(batch.piece_words), batch.num_words)
    both = ours_present & theirs_present
    words = _word_error(our_words[both], their_words[both])
    passages = (_mean(ours, mask), _mean(theirs, piece_mask))  # (B, D)
    cosine = F.cosine_similarity(*passages, dim=-1).mean()
    similarity = _similarity_error(*passages)
    return Outcome(
        loss=words + _PASSAGE_WEIGHT * (1 - cosine) + _SIMILARITY_WEIGHT * similarity,
        num_tokens=int(np.count_nonzero(batch.ids)),
        report={
            "word_error": words.detach(),
            "word_cosine": F.cosine_similarity(our_words[both], their_words[both], dim=-1).mean().detach(),
            "passage_cosine": cosine.detach(),
            "similarity_error": similarity.detach(),
        },
        flops=TRAINING_FACTOR * encoder_flops(net.net.config, batch.ids.shape[1]) * len(batch.ids),
    )


def _tensor(array: npt.NDArray[Any], device: torch.device) -> Tensor:
    return torch.as_tensor(array).to(device)


def _word_error(ours: Tensor, theirs: Tensor) -> Tensor:
    """Mean squared error as a share of the teacher's variance."""
    return (ours - theirs).pow(2).mean() / (theirs - theirs.mean(0)).pow(2).mean()


def _similarity_error(ours: Tensor, theirs: Tensor) -> Tensor:
    first, second = F.normalize(ours, dim=-1), F.normalize(theirs, dim=-1)
    return (first @ first.T - second @ second.T).pow(2).mean()


def _mean(states: Tensor, mask: Tensor) -> Tensor:
    """(B, S, D) under (B, S) -> (B, D)"""
    weights = mask[..., None].float()
    return (states * weights).sum(1) / weights.sum(1)


def _word_means(states: Tensor, words: Tensor, num_words: int) -> tuple[Tensor, Tensor]:
    """(B, S, D) and the word of each token -> means (W, D), and which words have a token."""
    real = words >= 0
    index = words[real]
    sums = torch.zeros(num_words, states.shape[2], device=states.device).index_add_(0, index, states[real])
    counts = torch.zeros(num_words, device=states.device).index_add_(0, index, torch.ones_like(index, dtype=sums.dtype))
    return sums / counts.clamp(min=1)[:, None], counts > 0


def mark_sentences(ids: Ids, starts: Ids, rng: np.random.Generator) -> Ids:
    """<doc>, then the window's tokens with a marker before each sentence that begins in it."""
    starts = starts[: NUM_MARKERS - 1]
    shift = int(rng.integers(0, NUM_MARKERS - len(starts)))
    markers = [marker(shift + index) for index in range(len(starts))]
    return np.concatenate([[DOCUMENT], np.insert(ids, starts, markers)]).astype(np.int64)


def _word_numbers(rows: Sequence[Sequence[int | None]]) -> Ids:
    return np.array([[-1 if word is None else word for word in row] for row in rows], np.int64)


def _through_batch(words: Ids, longest: int) -> Ids:
    """Words of row b are numbered from b * longest on."""
    return np.where(words >= 0, words + longest * np.arange(len(words))[:, None], -1)
