"""Operations and bytes of the phases of a request, from the net's shape alone. Nothing is measured here.

An operation is half a multiply-add of a matrix product or of attention (norms, softmax and activations are some per
mille and left out). Bytes are what must move however well it is done: weights once per call, what a phase is given and
what it leaves. What passes between its layers is not counted, as it fits the caches. At int8 weights and the
vocabulary's table have 8 bits and a float scale per output channel or row; attention, the scores of a few options and
all states are fp32.

Shapes: B batch · S document tokens · T tokens of a step · P held tokens · N positions · K options · C hidden.
"""

from dataclasses import dataclass
from typing import Self

from qdts.models.nets.config import T5Config
from qdts.models.nets.interaction import HIDDEN

_FLOAT, _ID = 4, 8
Matrix = tuple[int, int]  # inputs, outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Operations on 8-bit integers and on floats, and bytes moved."""

    int_ops: int = 0
    float_ops: int = 0
    num_bytes: int = 0

    @property
    def ops(self) -> int:
        """All of them."""
        return self.int_ops + self.float_ops

    def __add__(self, other: "Work") -> "Work":
        return Work(
            int_ops=self.int_ops + other.int_ops,
            float_ops=self.float_ops + other.float_ops,
            num_bytes=self.num_bytes + other.num_bytes,
        )

    def times(self, count: int) -> "Work":
        """So many in a row."""
        return Work(int_ops=count * self.int_ops, float_ops=count * self.float_ops, num_bytes=count * self.num_bytes)


@dataclass(frozen=True, slots=True)
class Counting:
    """A net at one precision: "int8" or "fp32"."""

    config: T5Config
    precision: str

    def encode(self, batch: int, tokens: int) -> Work:
        """Documents (B, S): rows of the table in, states out."""
        config = self.config
        layer = [*self._attention(3, 1), *self._feed_forward()]
        products = self._linear(layer * config.num_layers, batch * tokens)
        scores = self._scores(batch, tokens, tokens).times(config.num_layers)
        moved = batch * tokens * (self._row_bytes + self._state_bytes)
        return products + scores + Work(num_bytes=moved + self._norms(2 * config.num_layers + 1) + self._buckets)

    def start(self, batch: int, tokens: int) -> Work:
        """States (B, S, C) and features in, the document's keys and values out."""
        config = self.config
        matrices = self._attention(2, 0) * config.num_decoder_layers
        if config.num_features:
            matrices = [(config.num_features, HIDDEN), (HIDDEN, config.d_model), *matrices]
        given = self._state_bytes + _FLOAT * config.num_features
        bias = _FLOAT * HIDDEN if config.num_features else 0
        moved = batch * tokens * (given + self._slot_bytes)
        return self._linear(matrices, batch * tokens) + Work(num_bytes=moved + bias)

    def step(self, batch: int, tokens: int, document: int, held: int) -> Work:
        """T tokens for each of B sequences that hold P and read documents of S tokens; no scores."""
        config = self.config
        layer = [*self._attention(4, 2), *self._feed_forward()]
        products = self._linear(layer * config.num_decoder_layers, batch * tokens)
        seen = self._scores(batch, tokens, held + tokens) + self._scores(batch, tokens, document)
        slots = batch * (document + held + tokens) * self._slot_bytes
        moved = batch * tokens * (self._row_bytes + self._state_bytes) + slots
        norms = self._norms(3 * config.num_decoder_layers + 1) + self._buckets
        return products + seen.times(config.num_decoder_layers) + Work(num_bytes=moved + norms)

    def scores(self, positions: int) -> Work:
        """Of states (N, C) with the whole vocabulary; the best ids come out."""
        head = self._linear([(self.config.d_model, self.config.vocab_size)], positions)
        return head + Work(num_bytes=positions * (self._state_bytes + _ID))

    def choice(self, positions: int, options: int) -> Work:
        """Of states (N, C) with K options each, whose rows of the table are read; scores (N, K) come out."""
        moved = positions * (self._state_bytes + options * (self._row_bytes + _FLOAT))
        return Work(float_ops=2 * positions * options * self.config.d_model, num_bytes=moved)

    @classmethod
    def of(cls, config: T5Config, precision: str) -> Self:
        """ValueError for a precision that is not counted."""
        if precision not in ("int8", "fp32"):
            raise ValueError(f"precision must be int8 or fp32, is {precision!r}")
        return cls(config, precision)

    @property
    def _inner(self) -> int:
        return self.config.num_heads * self.config.d_kv

    @property
    def _state_bytes(self) -> int:
        return _FLOAT * self.config.d_model

    @property
    def _slot_bytes(self) -> int:
        """One token's keys and values in all decoder layers."""
        return 2 * _FLOAT * self._inner * self.config.num_decoder_layers

    @property
    def _row_bytes(self) -> int:
        """One row of the vocabulary's table."""
        return self.config.d_model + _FLOAT if self.precision == "int8" else self._state_bytes

    @property
    def _buckets(self) -> int:
        return _FLOAT * self.config.relative_attention_num_buckets * self.config.num_heads

    def _norms(self, count: int) -> int:
        return count * self._state_bytes

    def _attention(self, num_in: int, num_out: int) -> list[Matrix]:
        """So many of q, k and v, and of o."""
        return [*[(self.config.d_model, self._inner)] * num_in, *[(self._inner, self.config.d_model)] * num_out]

    def _feed_forward(self) -> list[Matrix]:
        config = self.config
        num_in = 2 if config.feed_forward_proj == "gated-gelu" else 1
        return [*[(config.d_model, config.d_ff)] * num_in, (config.d_ff, config.d_model)]

    def _linear(self, matrices: list[Matrix], num_tokens: int) -> Work:
        size = sum(inputs * outputs for inputs, outputs in matrices)
        ops = 2 * num_tokens * size
        if self.precision == "fp32":
            return Work(float_ops=ops, num_bytes=_FLOAT * size)
        return Work(int_ops=ops, num_bytes=size + _FLOAT * sum(outputs for _, outputs in matrices))

    def _scores(self, batch: int, queries: int, keys: int) -> Work:
        """Of one layer: queries by keys, and weights by values."""
        return Work(float_ops=2 * 2 * batch * queries * keys * self._inner)
