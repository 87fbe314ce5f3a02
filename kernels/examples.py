"""One call of every operation at the sizes of the 0.1B net, to be compiled ahead of time and to be measured."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from qdts.kernels import (
    attention,
    decode_cross_attention,
    decode_self_attention,
    feed_forward,
    project_argmax,
    project_permitted,
    reference,
    rms_norm,
)
from qdts.kernels.cost import Cost
from qdts.kernels.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Of the net and of a batch; documents differ in length by a third."""

    width: int = 768
    num_heads: int = 12
    head_dim: int = 64
    inner: int = 2048
    num_words: int = 16384
    limit: int = 128
    num_documents: int = 32
    longest: int = 512
    num_tokens: int = 8  # drafted, per sequence and step
    num_slots: int = 96
    num_permitted: int = 256

    @property
    def lengths(self) -> list[int]:
        """(B,) tokens of each document."""
        return [self.longest - (37 * number) % (self.longest // 3) for number in range(self.num_documents)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A prepared call, what computes the same in plain PyTorch, and what the call must move and compute."""

    plan: Plan[Any]
    reference: Callable[[], Any]
    cost: Cost


class Examples:
    """By name, all of one size, on one device, in one type; each makes its tensors when it is asked for."""

    def __init__(self, device: torch.device, dtype: torch.dtype = torch.float16, sizes: Sizes | None = None) -> None:
        self._device, self._dtype, self._sizes = device, dtype, sizes or Sizes()
        self._makers: dict[str, Callable[[], Example]] = {
            "attention": self._attention,
            "decode_self_attention": self._decode_self_attention,
            "decode_self_attention_of_rows": lambda: self._decode_self_attention(of_rows=True),
            "decode_cross_attention": lambda: self._decode_cross_attention(self._sizes.lengths),
            "decode_cross_attention_int8": lambda: self._decode_cross_attention(self._sizes.lengths, quantized=True),
            "decode_cross_attention_alone": lambda: self._decode_cross_attention([self._sizes.longest], num_parts=4),
            "project_argmax": self._project_argmax,
            "project_permitted": self._project_permitted,
            "rms_norm": lambda: self._rms_norm(adds=False),
            "add_rms_norm": lambda: self._rms_norm(adds=True),
            "add_rms_norm_float32": lambda: self._rms_norm(adds=True, stream_dtype=torch.float32),
            "gated_gelu": self._gated_gelu,
            "exact_gelu": self._exact_gelu,
        }

    @property
    def names(self) -> tuple[str, ...]:
        """Of all examples."""
        return tuple(self._makers)

    def make(self, name: str) -> Example:
        """The example of that name."""
        return self._makers[name]()

    def _attention(self) -> Example:
        sizes, lengths = self._sizes, self._sizes.lengths
        query, key, value = (self._heads(sum(lengths)) for _ in range(3))
        starts, bias = self._indices([0, *accumulate(lengths)]), self._bias()
        return Example(
            plan=attention.plan(query, key, value, starts, bias, longest=sizes.longest),
            reference=lambda: reference.attention(query, key, value, starts, bias),
            cost=attention.cost(lengths, limit=sizes.limit, **self._head_sizes()),
        )

    def _decode_self_attention(self, *, of_rows: bool = False) -> Example:
        sizes = self._sizes
        batch, num_tokens = sizes.num_documents, sizes.num_tokens
        lengths = [sizes.num_slots - number % (sizes.num_slots // 2) for number in range(batch)]
        query, new_key, new_value = (self._heads(batch, num_tokens) for _ in range(3))
        past_key, past_value = (self._heads(batch, sizes.num_slots) for _ in range(2))
        held = self._indices(lengths)
        positions = self._indices([[length + token for token in range(num_tokens)] for length in lengths])
        chain = torch.ones(num_tokens, num_tokens, dtype=torch.bool, device=self._device).tril()
        visible = chain.expand(batch, -1, -1).contiguous()
        inputs = (query, past_key, past_value, held, new_key, new_value, positions, visible, self._bias())
        rows = self._indices(list(reversed(range(batch)))) if of_rows else None
        return Example(
            plan=decode_self_attention.plan(*inputs, rows=rows),
            reference=lambda: reference.decode_self_attention(*inputs, rows=rows),
            cost=decode_self_attention.cost(lengths, num_tokens=num_tokens, **self._head_sizes()),
        )

    def _decode_cross_attention(
        self, lengths: list[int], *, quantized: bool = False, num_parts: int | None = None
    ) -> Example:
        sizes = self._sizes
        query = self._heads(len(lengths), sizes.num_tokens)
        key, value = self._heads(sum(lengths)), self._heads(sum(lengths))
        scales: tuple[Tensor, ...] = ()
        if quantized:
            (key, key_scale), (value, value_scale) = reference.quantize_tokens(key), reference.quantize_tokens(value)
            scales = (key_scale, value_scale)
        starts = self._indices(list(accumulate(lengths[:-1], initial=0)))
        inputs = (query, key, value, starts, self._indices(lengths), *scales)
        return Example(
            plan=decode_cross_attention.plan(*inputs, longest=sizes.longest, num_parts=num_parts),
            reference=lambda: reference.decode_cross_attention(*inputs),
            cost=decode_cross_attention.cost(
                lengths, num_tokens=sizes.num_tokens, pool_bytes=key.element_size(), **self._head_sizes()
            ),
        )

    def _project_argmax(self) -> Example:
        hidden, weight, scale = self._head_inputs()
        return Example(
            plan=project_argmax.plan(hidden, weight, scale),
            reference=lambda: reference.project_argmax(hidden, weight, scale),
            cost=project_argmax.cost(
                num_rows=len(hidden), width=self._sizes.width, num_words=len(weight), item_bytes=hidden.element_size()
            ),
        )

    def _project_permitted(self) -> Example:
        hidden, weight, scale = self._head_inputs()
        num_ids = self._sizes.num_permitted
        counts = [1 + (53 * row) % num_ids for row in range(len(hidden))]
        # Different ids within a row, END (1) among them: 37 has no factor in common with the vocabulary's size.
        permitted = self._indices(
            [[1 + (37 * (row % 7) * (place > 0) + 37 * place) % (len(weight) - 1) for place in range(num_ids)]
             for row in range(len(hidden))]
        )  # fmt: skip
        held = self._indices(counts)
        return Example(
            plan=project_permitted.plan(hidden, weight, permitted, held, end=1, scale=scale),
            reference=lambda: reference.project_permitted(hidden, weight, scale, permitted, held, 1),
            cost=project_permitted.cost(counts, width=self._sizes.width, item_bytes=hidden.element_size()),
        )

    def _rms_norm(self, *, adds: bool, stream_dtype: torch.dtype | None = None) -> Example:
        stream, update = (
            self._random(self._num_rows, self._sizes.width).to(stream_dtype or self._dtype),
            self._random(self._num_rows, self._sizes.width),
        )
        weight = self._random(self._sizes.width)
        specification = reference.add_rms_norm if adds else None
        return Example(
            plan=rms_norm.plan(stream, update if adds else None, weight, 1e-6),
            reference=lambda: (
                specification(stream, update, weight, 1e-6)
                if specification
                else reference.AddedNorm(stream, reference.rms_norm(stream, weight, 1e-6))
            ),
            cost=rms_norm.cost(
                num_rows=self._num_rows,
                width=self._sizes.width,
                item_bytes=update.element_size(),
                stream_bytes=stream.element_size(),
                adds=adds,
            ),
        )

    def _gated_gelu(self) -> Example:
        gate, linear = self._random(self._num_rows, 2 * self._sizes.inner).chunk(2, dim=1)
        return Example(
            plan=feed_forward.plan(gate, linear),
            reference=lambda: reference.gated_gelu(gate, linear),
            cost=feed_forward.cost(
                num_rows=self._num_rows, width=self._sizes.inner, item_bytes=gate.element_size(), gated=True
            ),
        )

    def _exact_gelu(self) -> Example:
        x = self._random(self._num_rows, self._sizes.inner)
        return Example(
            plan=feed_forward.plan(x, None),
            reference=lambda: reference.exact_gelu(x),
            cost=feed_forward.cost(
                num_rows=self._num_rows, width=self._sizes.inner, item_bytes=x.element_size(), gated=False
            ),
        )

    @property
    def _num_rows(self) -> int:
        return sum(self._sizes.lengths)

    def _head_sizes(self) -> dict[str, int]:
        item_bytes = torch.empty(0, dtype=self._dtype).element_size()
        return {"num_heads": self._sizes.num_heads, "head_dim": self._sizes.head_dim, "item_bytes": item_bytes}

    def _head_inputs(self) -> tuple[Tensor, Tensor, float]:
        sizes = self._sizes
        hidden = self._random(sizes.num_documents * sizes.num_tokens, sizes.width)
        return hidden, self._random(sizes.num_words, sizes.width), sizes.width**-0.5

    def _heads(self, *leading: int) -> Tensor:
        # Scores of standard deviation 1 without a scale, as T5's initial weights make them.
        return self._random(*leading, self._sizes.num_heads, self._sizes.head_dim) * self._sizes.head_dim**-0.25

    def _bias(self) -> Tensor:
        return torch.randn(self._sizes.num_heads, 2 * self._sizes.limit + 1, device=self._device)

    def _random(self, *shape: int) -> Tensor:
        return torch.randn(*shape, device=self._device).to(self._dtype)

    def _indices(self, values: list[Any]) -> Tensor:
        return torch.tensor(values, dtype=torch.int32, device=self._device)
