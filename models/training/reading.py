"""The document as the decoder reads it, in torch and for batches: states, and the features made of states and text.

The features made of states are those of `models/similarity.py`. They are constants to whatever reads the document:
what brings sentences to queries is learned by a loss of its own (`similarity.py`), not through the decoder.

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
    numbers, cosines = compare(net, hidden, ids, mask, queries, query_mask)
    made = similarity_features(cosines.detach(), numbers)
    return net.interact(hidden, torch.cat([features, made], dim=-1)), cosines


def compare(
    net: T5, hidden: Tensor, ids: Tensor, mask: Tensor, queries: Tensor, query_mask: Tensor
) -> tuple[Tensor, Tensor]:
    """Sentence numbers (B, S), and the cosine of each sentence of states (B, S, C) with the query (B, N)."""
    numbers = sentence_numbers(ids, mask)
    query = mean_state(net.encode(queries, query_mask), query_mask)
    return numbers, sentence_cosines(hidden, numbers, query)


def sentence_numbers(ids: Tensor, mask: Tensor) -> Tensor:
    """The sentence each token belongs to (B, S), from 1 on; 0 before the first and in the padding."""
    return marks_sentences(ids).long().cumsum(1) * mask


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


def marks_sentences(ids: Tensor) -> Tensor:
    """Which ids are sentence markers: `tokenizer.is_marker` for tensors."""
    return (ids >= FIRST_MARKER) & (ids < FIRST_MARKER + NUM_MARKERS)
