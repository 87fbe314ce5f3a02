"""Our tokens in terms of another encoder's word pieces: where each row of the embedding table starts from.

A token that is a word piece takes its row; one that is several takes their mean. A token without a space before it
stands inside a word, so it takes the pieces that do ("##ing") where there are some.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from qdts.models.tokenizer import FIRST_MARKER, NUM_MARKERS, SPECIAL_TOKENS, Tokenizer

# What our special tokens resemble among BERT's.
_LIKE = {"<pad>": "[PAD]", "<unk>": "[UNK]", "<q>": "[CLS]"}
_NOISE = 0.1


def fold_vocabulary(tokenizer: Tokenizer, pieces: Any, table: Tensor, seed: int) -> Tensor:
    """Rows for `tokenizer`'s ids (V, C) from `table`, which has one for each id of the tokenizer `pieces`."""
    known: Mapping[str, int] = pieces.get_vocab()
    mean = table.mean(0)
    rows = mean.repeat(tokenizer.vocab_size, 1)
    for index in range(len(SPECIAL_TOKENS), tokenizer.vocab_size):
        ids = piece_ids(tokenizer.decode([index]), tokenizer.begins_word(index), pieces, known)
        if ids:
            rows[index] = table[ids].mean(0)
    _fill_special(rows, table, known, seed)
    return rows


def _fill_special(rows: Tensor, table: Tensor, known: Mapping[str, int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    spread = table.std() * torch.randn(len(SPECIAL_TOKENS), table.shape[1], generator=generator)
    for index, token in enumerate(SPECIAL_TOKENS):
        rows[index] = table[known[_LIKE.get(token, "[SEP]")]] + _NOISE * spread[index]
    # The markers are rows of the output layer, too: they must differ from one another.
    markers = slice(FIRST_MARKER, FIRST_MARKER + NUM_MARKERS)
    rows[markers] = 0.5 * table.mean(0) + spread[markers]


def piece_ids(text: str, begins_word: bool, pieces: Any, known: Mapping[str, int]) -> list[int]:
    """The word pieces of one token's text; none for white space."""
    text = text.strip().lower()
    if begins_word or not text.isalnum():
        return [known[text]] if text in known else pieces(text, add_special_tokens=False)["input_ids"]
    if f"##{text}" in known:
        return [known[f"##{text}"]]
    # Behind another letter the tokenizer gives the pieces that stand inside a word.
    inside = pieces(f"x{text}", add_special_tokens=False)["input_ids"][1:]
    return inside or pieces(text, add_special_tokens=False)["input_ids"]
