"""The loss that brings a query and the sentences that answer it together in the encoder.

Softmax over a document's sentences of their scaled cosines with the query, as in contrastive training (van den Oord et
al. 2018, "Representation Learning with Contrastive Predictive Coding", arXiv 1807.03748, equation 4): the negatives
are the document's other sentences.

Shapes: B batch · S encoder tokens · T decoder tokens · N sentences.
"""

import torch
from torch import Tensor

from qdts.models.similarity import SCALE
from qdts.models.tokenizer import FIRST_MARKER, NUM_MARKERS
from qdts.models.training.dataset import TrainBatch
from qdts.models.training.reading import marks_sentences


def similarity_loss(cosines: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy of softmax(SCALE * cosines) (B, N) with wanted (B, N), evenly among a row's wanted sentences.

    Rows that want none do not count; without any other the loss is nothing.
    """
    shares = wanted / wanted.sum(1, keepdim=True).clamp(min=1)
    losses = -(shares * (SCALE * cosines).log_softmax(-1)).sum(1)  # (B,)
    return losses.sum() / wanted.any(1).sum().clamp(min=1)


def quoted_sentences(batch: TrainBatch, numbers: Tensor, num_sentences: int) -> Tensor:
    """(B, N) 1.0 for the sentences that the batch's summaries quote: labels without weight are the prefix's."""
    labels = torch.as_tensor(batch.labels * (batch.weights > 0)).to(numbers.device)
    return wanted_sentences(torch.as_tensor(batch.ids).to(numbers.device), numbers, labels, num_sentences)


def wanted_sentences(ids: Tensor, numbers: Tensor, labels: Tensor, num_sentences: int) -> Tensor:
    """(B, N) 1.0 where the labels (B, T) name the sentence's marker."""
    named = ids.new_zeros(len(ids), FIRST_MARKER + NUM_MARKERS, dtype=torch.float)  # (B, markers)
    named.scatter_(1, labels * marks_sentences(labels), 1.0)
    rows, places = marks_sentences(ids).nonzero(as_tuple=True)
    wanted = ids.new_zeros(len(ids), num_sentences, dtype=torch.float)
    wanted[rows, numbers[rows, places] - 1] = named[rows, ids[rows, places]]
    return wanted


def similarity_accuracy(cosines: Tensor, wanted: Tensor) -> Tensor:
    """How often the closest sentence (B, N) is a wanted one, of the rows that want one; not a number without any."""
    hits = wanted.gather(1, cosines.argmax(1, keepdim=True))[:, 0]
    return hits.sum() / wanted.any(1).sum()
