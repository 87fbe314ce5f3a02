"""What one request costs: FLOPs, and bytes moved, from shapes alone. No torch, nothing is measured here.

A multiply-add is two FLOPs; only matrix products and attention count (norms, softmax and activations are some per mille
and are left out), attention as the full rectangle of queries and slots, as torch's FlopCounterMode has it. A batch of
one; no padding. The output layer scores the whole vocabulary once per written token: the copy constraint needs less.
Letters as in the shapes elsewhere: S document tokens · T tokens of a call · C hidden · V words.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from qdts.models.nets.config import T5Config
from qdts.models.nets.decoder_only import DecoderOnlyConfig
from qdts.models.nets.flops import encoder_flops
from qdts.models.nets.interaction import HIDDEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Tokens of one request. A written token is fed back but for the last; `steps` calls write `output_tokens`.

    `states_known`: the document was encoded before (indexed mode), so what depends on it alone is read, not computed.
    `query_tokens` pass an encoder by themselves; 0 where the net does not compare states.
    """

    encoder_tokens: int
    prefix_tokens: int
    output_tokens: int
    steps: int
    states_known: bool = False
    query_tokens: int = 0

    def __post_init__(self) -> None:
        for name in ("encoder_tokens", "prefix_tokens", "output_tokens", "steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, is {getattr(self, name)}")
        if self.query_tokens < 0:
            raise ValueError(f"query_tokens must be at least 0, is {self.query_tokens}")
        if self.steps > self.output_tokens:
            raise ValueError(f"steps must be at most output_tokens {self.output_tokens}, is {self.steps}")

    @property
    def fed_tokens(self) -> int:
        """Tokens that pass the decoder: the prefix and all written ones but the last."""
        return self.prefix_tokens + self.output_tokens - 1

    def calls(self) -> Iterator[tuple[float, float]]:
        """(slots held before, tokens fed) of each call: the first feeds the prefix, drafts are spread evenly."""
        per_call = (self.output_tokens - self.steps) / self.steps  # drafted and accepted
        held = 0.0
        for index in range(self.steps):
            fed = per_call + (self.prefix_tokens if index == 0 else 1)
            yield held, fed
            held += fed


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestCost:
    """FLOPs; bytes of weights read, once per call that uses them; bytes of states and caches read and written."""

    flops: float
    weight_bytes: float
    state_bytes: float


def encoder_decoder_cost(config: T5Config, request: Request, bytes_per_number: int = 4) -> RequestCost:
    """A T5-shaped net: the document passes the encoder once, prefix and summary the decoder."""
    read = [0 if request.states_known else request.encoder_tokens, request.query_tokens]
    encoded = sum(encoder_flops(config, num_tokens) for num_tokens in read)
    encoder_weights = sum(map(bool, read)) * config.num_layers * _encoder_layer(config)
    per_call = config.num_decoder_layers * _decoder_layer(config) + config.vocab_size * config.d_model
    once = config.num_decoder_layers * _cross_projection(config) + _interaction(config.num_features, config.d_model)
    return RequestCost(
        flops=encoded + _decoder_flops(config, request),
        weight_bytes=bytes_per_number * (encoder_weights + once + request.steps * per_call),
        state_bytes=bytes_per_number * _encoder_decoder_states(config, request),
    )


def decoder_only_cost(config: DecoderOnlyConfig, request: Request, bytes_per_number: int = 4) -> RequestCost:
    """A GPT-2-shaped net: document, prefix and summary pass all layers; known states are the document's cache."""
    layers = config.num_layers * _gpt2_layer(config)
    calls = [(held + request.encoder_tokens, fed) for held, fed in request.calls()]
    if not request.states_known:
        calls.insert(0, (0.0, float(request.encoder_tokens)))
    num_tokens = sum(fed for _, fed in calls)
    pairs = sum(fed * (held + fed) for held, fed in calls)
    interaction = _interaction(config.num_features, config.d_model)
    vocabulary = config.vocab_size * config.d_model
    slot = 2 * config.num_layers * config.d_model  # one token's keys and values
    return RequestCost(
        flops=2 * (num_tokens * layers + request.output_tokens * vocabulary)
        + 4 * pairs * config.num_layers * config.d_model
        + (0 if request.states_known else 2 * request.encoder_tokens * interaction),
        weight_bytes=bytes_per_number
        * (len(calls) * layers + request.steps * vocabulary + (0 if request.states_known else interaction)),
        state_bytes=bytes_per_number * slot * (num_tokens + sum(held for held, _ in calls)),
    )


def _inner(config: T5Config) -> int:
    return config.num_heads * config.d_kv


def _feed_forward(config: T5Config) -> int:
    return (3 if config.feed_forward_proj == "gated-gelu" else 2) * config.d_model * config.d_ff


def _encoder_layer(config: T5Config) -> int:
    """Weights of q, k, v, o and the feed-forward: one multiply-add each per token."""
    return 4 * config.d_model * _inner(config) + _feed_forward(config)


def _decoder_layer(config: T5Config) -> int:
    """Weights that a decoder token meets: self-attention, cross-attention's q and o, feed-forward."""
    return 6 * config.d_model * _inner(config) + _feed_forward(config)


def _cross_projection(config: T5Config) -> int:
    """Weights that a document token meets in one decoder layer: cross-attention's k and v."""
    return 2 * config.d_model * _inner(config)


def _interaction(num_features: int, d_model: int) -> int:
    return HIDDEN * (num_features + d_model) if num_features else 0


def _gpt2_layer(config: DecoderOnlyConfig) -> int:
    return 4 * config.d_model**2 + 2 * config.d_model * config.d_ff


def _decoder_flops(config: T5Config, request: Request) -> float:
    """Features, cross-attention's keys and values, then the calls; the features depend on the query: never known."""
    slots = request.encoder_tokens
    opened = slots * (
        _interaction(config.num_features, config.d_model) + config.num_decoder_layers * _cross_projection(config)
    )
    fed = request.fed_tokens * config.num_decoder_layers * _decoder_layer(config)
    written = request.output_tokens * config.vocab_size * config.d_model
    pairs = sum(new * (held + new + slots) for held, new in request.calls())
    return 2 * (opened + fed + written) + 4 * pairs * config.num_decoder_layers * _inner(config)


def _encoder_decoder_states(config: T5Config, request: Request) -> float:
    """Numbers read and written: the states, cross-attention's keys and values per call, the decoder's cache."""
    states = request.encoder_tokens * config.d_model * (1 if request.states_known else 2)
    slot = 2 * config.num_decoder_layers * _inner(config)  # one token's keys and values
    cross = slot * request.encoder_tokens * (1 + request.steps)
    own = slot * (request.fed_tokens + sum(held for held, _ in request.calls()))
    return states + cross + own
