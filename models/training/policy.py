"""The net as a policy: the log-probability of a whole summary under the copy constraint, differentiable.

At each token the softmax is over the allowed ids alone, so a forced token has probability 1 and costs nothing:
what counts are the decisions (which sentence, where a piece begins and ends, go on or stop). Over all summaries
of a prompt the probabilities sum to 1. Knows nothing of text, rewards or objectives.

Shapes: P prompts · N summaries · S encoder tokens · F features · T decoder tokens · D decisions of all summaries ·
K the most options of one · U different ids among all options · Q query tokens · C hidden.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from qdts.models.decoding.base import DecodingState
from qdts.models.nets.t5 import T5
from qdts.models.runtimes.base import Floats, Ids
from qdts.models.runtimes.batching import Mask, pad_floats, pad_ids
from qdts.models.training.reading import pad_queries, read_documents


class PromptArrays(Protocol):
    """What the net reads: a prompt as it was built, or one read back from a disk. (S,), (S, F) and (prefix,)."""

    @property
    def encoder_ids(self) -> npt.NDArray[Any]: ...
    @property
    def features(self) -> npt.NDArray[Any]: ...
    @property
    def prefix(self) -> npt.NDArray[Any]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """A summary as the decisions that lead to it.

    `tokens` (T,) with its end; decision d chose tokens[places[d]] among `options[d]`, two ids or more, ascending.
    """

    tokens: Ids
    places: Ids
    options: tuple[Ids, ...]


def walk(state: DecodingState, tokens: Sequence[int]) -> Walk:
    """The decisions on the way of `tokens` from `state`, which is left as it is; ValueError where one is forbidden."""
    state = state.copy()
    places: list[int] = []
    options: list[Ids] = []
    for place, token in enumerate(tokens):
        allowed = state.allowed()
        if allowed is None or token not in allowed:
            raise ValueError(f"token {token} at {place} is none of those allowed there: {allowed}")
        if len(allowed) > 1:
            places.append(place)
            options.append(allowed)
        state.advance(token)
    return Walk(tokens=np.array(tokens, np.int64), places=np.array(places, np.int64), options=tuple(options))


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyBatch:
    """P prompts and N summaries of them, padded.

    ids and mask (P, S), features (P, S, F), queries and query_mask (P, Q); `prompts` (N,) tells whose a summary is;
    tokens (N, T) are prefix and summary without the last token. Decision d is made after token columns[d] of summary
    rows[d]: it took option taken[d] of vocabulary[options[d]], (D, K) indices into (U,) ids, those under `is_option`.
    """

    ids: Ids
    mask: Mask
    features: Floats
    queries: Ids
    query_mask: Mask
    prompts: Ids
    tokens: Ids
    rows: Ids
    columns: Ids
    vocabulary: Ids
    options: Ids
    is_option: Mask
    taken: Ids

    @property
    def num_tokens(self) -> int:
        """Encoder tokens without padding."""
        return int(self.mask.sum())


def collate_walks(prompts: Sequence[PromptArrays], walks: Sequence[Sequence[Walk]]) -> PolicyBatch:
    """One batch of prompts, each with its summaries, in order."""
    ids, mask = pad_ids([prompt.encoder_ids for prompt in prompts])
    owners = [index for index, group in enumerate(walks) for _ in group]
    flat = [one for group in walks for one in group]
    starts = [len(prompts[owner].prefix) for owner in owners]
    inputs = [np.concatenate([prompts[o].prefix, w.tokens[:-1]]) for o, w in zip(owners, flat, strict=True)]
    taken = np.concatenate([one.tokens[one.places] for one in flat])
    vocabulary, options, is_option, taken = _pad_options([ids for one in flat for ids in one.options], taken)
    queries, query_mask = pad_queries([prompt.prefix for prompt in prompts])
    return PolicyBatch(
        ids=ids,
        mask=mask,
        queries=queries,
        query_mask=query_mask,
        features=pad_floats([prompt.features for prompt in prompts], axis=0).astype(np.float32),
        prompts=np.array(owners, np.int64),
        tokens=pad_ids(inputs)[0],
        rows=np.repeat(np.arange(len(flat)), [len(one.places) for one in flat]),
        # A token is chosen after the one before it.
        columns=np.concatenate([start - 1 + one.places for start, one in zip(starts, flat, strict=True)]),
        vocabulary=vocabulary,
        options=options,
        is_option=is_option,
        taken=taken,
    )


def _pad_options(options: Sequence[Ids], taken: Ids) -> tuple[Ids, Ids, Mask, Ids]:
    """Different ids (U,), options (D, K) as indices into them with their mask, and the index of each taken id."""
    if not options:
        return np.zeros(1, np.int64), np.zeros((0, 1), np.int64), np.zeros((0, 1), np.bool_), taken
    padded, is_option = pad_ids(options)
    vocabulary, indices = np.unique(padded, return_inverse=True)
    is_taken = (padded == taken[:, None]) & is_option
    return vocabulary, indices.reshape(padded.shape), is_option, is_taken.argmax(axis=1)


def option_log_probs(net: T5, batch: PolicyBatch) -> Tensor:
    """(D, K): at each decision the log-probability of each option, float32; -inf in the padding."""
    device = device_of(net)
    mask = _tensor(batch.mask, device)
    arrays = (batch.ids, batch.mask, batch.features, batch.queries, batch.query_mask)
    hidden, _ = read_documents(net, *(_tensor(array, device) for array in arrays))
    owners = _tensor(batch.prompts, device)
    decoded = net.decode(_tensor(batch.tokens, device), hidden[owners], mask[owners])  # (N, T, C)
    deciding = decoded[_tensor(batch.rows, device), _tensor(batch.columns, device)]  # (D, C)
    logits = net.logits(deciding, _tensor(batch.vocabulary, device)).float()  # (D, U)
    logits = logits.gather(1, _tensor(batch.options, device))  # (D, K)
    return logits.masked_fill(~_tensor(batch.is_option, device), -torch.inf).log_softmax(-1)


def taken_log_probs(batch: PolicyBatch, log_probs: Tensor) -> Tensor:
    """(D,): of `option_log_probs`, that of the option taken."""
    return log_probs.gather(1, _tensor(batch.taken, log_probs.device)[:, None])[:, 0]


def sum_by_summary(batch: PolicyBatch, values: Tensor) -> Tensor:
    """(D,) -> (N,): the sum over each summary's decisions."""
    sums = values.new_zeros(len(batch.prompts))
    return sums.index_add(0, _tensor(batch.rows, values.device), values)


def summary_log_probs(net: T5, batch: PolicyBatch) -> Tensor:
    """(N,): the log-probability of each summary given its prompt."""
    return sum_by_summary(batch, taken_log_probs(batch, option_log_probs(net, batch)))


def summary_divergences(batch: PolicyBatch, ours: Tensor, theirs: Tensor) -> Tensor:
    """(N,): KL(ours || theirs) summed over the decisions on the way of each summary, from two (D, K).

    For summaries sampled from `ours` its mean estimates the KL of the two policies without bias, and with less
    variance than the mean of the log-ratios: each decision's part is exact.
    """
    is_option = _tensor(batch.is_option, ours.device)
    gaps = (ours - theirs).masked_fill(~is_option, 0.0)
    return sum_by_summary(batch, (ours.exp() * gaps).sum(-1))


def device_of(net: nn.Module) -> torch.device:
    """Where the net's parameters are."""
    return next(net.parameters()).device


def _tensor(array: npt.NDArray[Any], device: torch.device) -> Tensor:
    return torch.as_tensor(array).to(device, non_blocking=True)
