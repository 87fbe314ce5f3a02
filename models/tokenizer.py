"""Byte-level BPE: text to ids and back, with the code points each id stands for. Knows nothing of prompts.

Every piece is encoded as if a space stood before it, so a word has the same ids at the head of a sentence as
inside one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tokenizers
import tokenizers.processors

from qdts.errors import WeightsCorrupt
from qdts.models.runtimes.base import Ids

PAD, END, UNKNOWN, QUERY, TITLE, DOCUMENT, HINT, NONE = range(8)
FIRST_MARKER = 8
NUM_MARKERS = 64
SPECIAL_TOKENS = (
    *("<pad>", "</s>", "<unk>", "<q>", "<t>", "<doc>", "<hint>", "<none>"),
    *(f"<s{i}>" for i in range(NUM_MARKERS)),
)

# Up to so many texts are encoded one after the other: waking the tokenizer's threads costs more than they save, and
# they would compete with the model's.
_MAX_ALONE = 64

# NONE says that a document does not answer its query. The first tokenizers called that id <reserved>.
_OLD_NAMES = {NONE: "<reserved>"}


def is_marker(ids: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which ids stand before a sentence."""
    return (ids >= FIRST_MARKER) & (ids < FIRST_MARKER + NUM_MARKERS)


def marker(index: int) -> int:
    """The id that stands before sentence `index` of the encoder's input."""
    assert 0 <= index < NUM_MARKERS
    return FIRST_MARKER + index


@dataclass(frozen=True, slots=True)
class Pieces:
    """Ids (T,) of one text and the half-open code points [starts, ends) (T,) each stands for."""

    ids: Ids
    starts: Ids
    ends: Ids


class Tokenizer:
    """A tokenizer.json with qdts's special tokens in their fixed places."""

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        self._backend = backend
        # Without this a document could write "<s3>" and so forge a marker.
        backend.encode_special_tokens = True
        # Places leave out the space a token carries before its word.
        backend.post_processor = tokenizers.processors.ByteLevel(trim_offsets=True)
        for index, token in enumerate(SPECIAL_TOKENS):
            if index not in (backend.token_to_id(token), backend.token_to_id(_OLD_NAMES.get(index, token))):
                raise WeightsCorrupt(f"tokenizer: {token} must have id {index}, has {backend.token_to_id(token)}")

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Read a tokenizer.json."""
        return cls(tokenizers.Tokenizer.from_file(str(path)))

    @property
    def vocab_size(self) -> int:
        """Ids run from 0 to vocab_size - 1."""
        return self._backend.get_vocab_size()

    def begins_word(self, index: int) -> bool:
        """Does this id carry the space before a word? Byte-level BPE writes it as Ġ."""
        return str(self._backend.id_to_token(index)).startswith("Ġ")

    def encode(self, text: str) -> Ids:
        """Ids (T,) of `text`; special tokens written out in it are plain text."""
        return self.encode_pieces([text])[0].ids

    def encode_pieces(self, texts: Sequence[str]) -> list[Pieces]:
        """Ids and places of each text on its own."""
        encodable = [_encodable(text) for text in texts]
        if len(texts) <= _MAX_ALONE:
            return [_pieces(self._backend.encode(text, add_special_tokens=False)) for text in encodable]
        return [_pieces(encoding) for encoding in self._backend.encode_batch(encodable, add_special_tokens=False)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`, special tokens left out."""
        return self._backend.decode([int(i) for i in ids], skip_special_tokens=True).strip()


def _encodable(text: str) -> str:
    """Half a surrogate pair has no bytes: it becomes "?", which leaves every place where it was."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _pieces(encoding: tokenizers.Encoding) -> Pieces:
    places = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
    return Pieces(ids=np.array(encoding.ids, dtype=np.int64), starts=places[:, 0], ends=places[:, 1])
