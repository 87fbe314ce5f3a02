"""The document as the decoder reads it, in torch and for batches: states, and the features made of states and text.

The features made of states are those of `models/similarity.py`. They are constants to whatever reads the document:
what makes sentences alike is learned by a loss of its own (`similarity_loss`), not through the decoder.

Shapes: B batch · S document tokens · Q query tokens · N sentences · F features · C hidden.
"""

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from qdts.models.interaction import NUM_FEATURES
from qdts.models.nets.t5 import T5
from qdts.models.prompt import query_of
from qdts.models.runtimes.base import Ids
from qdts.models.runtimes.batching import Mask, pad_ids
from qdts.models.similarity import SCALE
from qdts.models.tokenizer import FIRST_MARKER, NUM_MARKERS

# Below any cosine: for sentences that a row does not have.
_ABSENT = -10.0


def pad_queries(prefixes: Sequence[npt.NDArray[Any]]) -> tuple[Ids, Mask]:
    """<q> and the query (B, Q) and their mask, out of the decoder's prefixes: <pad> <q> query <hint> ..."""
    return pad_ids([query_of(prefix) for prefix in prefixes])


def reads_states(net: T5) -> bool:
    """Has the net features made of states?"""
    return net.config.num_features == NUM_FEATURES


def read_documents(
    net: T5, ids: Tensor, mask: Tensor, features: Tensor, queries: Tensor, query_mask: Tensor
) -> tuple[Tensor, Tensor | None]:
    """What the decoder reads (B, S, C), and the cosine of each sentence with the query (B, N); None without.

    ids and mask (B, S), text features (B, S, F); queries and query_mask (B, Q). N is the most sentences of a row.
    """
    hidden = net.encode(ids, mask)
    if not reads_states(net):
        return net.interact(hidden, features), None
    numbers = sentence_numbers(ids, mask)
    cosines = sentence_cosines(hidden, numbers, mean_state(net.encode(queries, query_mask), query_mask))
    made = similarity_features(cosines.detach(), numbers)
    return net.interact(hidden, torch.cat([features, made], dim=-1)), cosines


def sentence_numbers(ids: Tensor, mask: Tensor) -> Tensor:
    """The sentence each token belongs to (B, S), from 1 on; 0 before the first and in the padding."""
    return _is_marker(ids).long().cumsum(1) * mask


def mean_state(states: Tensor, mask: Tensor) -> Tensor:
    """(B, Q, C) under (B, Q) -> (B, C)"""
    return (states.float() * mask[..., None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


def sentence_cosines(hidden: Tensor, numbers: Tensor, query: Tensor) -> Tensor:
    """States (B, S, C), sentence numbers (B, S), query (B, C) -> (B, N); far below -1 where there is no sentence."""
    num_sentences = max(1, int(numbers.max()))
    # Summed by a product: on a GPU an index_add would not repeat bit for bit.
    member = (numbers[:, :, None] == torch.arange(1, num_sentences + 1, device=numbers.device)).float()  # (B, S, N)
    sums = member.transpose(1, 2) @ hidden.float()  # (B, N, C)
    cosines = torch.cosine_similarity(sums, query[:, None], dim=-1, eps=1e-6)
    return cosines.masked_fill(member.sum(1) == 0, _ABSENT)


def similarity_features(cosines: Tensor, numbers: Tensor) -> Tensor:
    """Cosines (B, N), sentence numbers (B, S) -> (B, S, 3): as `models.similarity.similarity_features`."""
    raised = (SCALE * (cosines - cosines.amax(1, keepdim=True))).exp()
    columns = torch.stack([cosines, raised / raised.sum(1, keepdim=True), raised], dim=-1)  # (B, N, 3)
    index = (numbers - 1).clamp(min=0)[..., None].expand(-1, -1, columns.shape[-1])
    return columns.gather(1, index) * (numbers > 0)[..., None]


def similarity_loss(cosines: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy of softmax(SCALE * cosines) (B, N) with wanted (B, N), evenly among a row's wanted sentences.

    Rows that want none do not count; without any other the loss is nothing.
    """
    shares = wanted / wanted.sum(1, keepdim=True).clamp(min=1)
    losses = -(shares * (SCALE * cosines).log_softmax(-1)).sum(1)  # (B,)
    return losses.sum() / wanted.any(1).sum().clamp(min=1)


def wanted_sentences(ids: Tensor, numbers: Tensor, labels: Tensor, num_sentences: int) -> Tensor:
    """(B, N) 1.0 where the labels (B, T) name the sentence's marker."""
    named = ids.new_zeros(len(ids), FIRST_MARKER + NUM_MARKERS, dtype=torch.float)  # (B, markers)
    named.scatter_(1, labels * _is_marker(labels), 1.0)
    is_marker = _is_marker(ids)
    rows, places = is_marker.nonzero(as_tuple=True)
    wanted = ids.new_zeros(len(ids), num_sentences, dtype=torch.float)
    wanted[rows, numbers[rows, places] - 1] = named[rows, ids[rows, places]]
    return wanted


def _is_marker(ids: Tensor) -> Tensor:
    return (ids >= FIRST_MARKER) & (ids < FIRST_MARKER + NUM_MARKERS)
