"""Floating-point operations of a T5 network's matrix products, and what devices can do at most. No torch.

Counts 2 M K N for a product of (M, K) by (K, N): projections, attention scores and their use, feed-forward,
logits. Element-wise work, norms, softmax and the interaction features (below 0.1 %) are left out, as in the usual
model FLOPs utilisation (Chowdhery et al. 2022, PaLM, appendix B). Causal attention counts in full, which is what
is computed.
"""

from qdts.models.nets.config import T5Config

# A training step is the forward pass and twice as much for the backward pass: by inputs, by weights.
TRAINING_FACTOR = 3.0

# Dense bf16 with fp32 accumulation, from the makers' data sheets (SXM parts), by a part of the device's name.
_PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L20": 119.5e12}


def peak_flops(device_name: str) -> float | None:
    """bf16 operations per second of a device at most; None where nobody has written it down, as for CPUs."""
    words = device_name.upper().replace("-", " ").split()
    return next((peak for name, peak in _PEAKS.items() if name in words), None)


def forward_flops(config: T5Config, encoder_tokens: int, decoder_tokens: int, num_logits: int | None = None) -> float:
    """One sequence through encoder and decoder; logits at `num_logits` positions, None: at all of the decoder's."""
    logits = 2.0 * (decoder_tokens if num_logits is None else num_logits) * config.d_model * config.vocab_size
    return encoder_flops(config, encoder_tokens) + decoder_flops(config, encoder_tokens, decoder_tokens) + logits


def encoder_flops(config: T5Config, num_tokens: int) -> float:
    """The encoder over one sequence."""
    attention = _projections(config, num_tokens, 4) + _scores(config, num_tokens, num_tokens)
    return config.num_layers * (attention + _feed_forward(config, num_tokens))


def decoder_flops(config: T5Config, encoder_tokens: int, num_tokens: int) -> float:
    """The decoder, teacher-forced, with the projection of the encoder's output; no logits."""
    own = _projections(config, num_tokens, 4) + _scores(config, num_tokens, num_tokens)
    cross = _projections(config, num_tokens, 2) + _projections(config, encoder_tokens, 2)
    cross += _scores(config, num_tokens, encoder_tokens)
    return config.num_decoder_layers * (own + cross + _feed_forward(config, num_tokens))


def _projections(config: T5Config, num_tokens: int, count: int) -> float:
    return count * 2.0 * num_tokens * config.d_model * config.num_heads * config.d_kv


def _scores(config: T5Config, queries: int, keys: int) -> float:
    """Queries by keys, and weights by values."""
    return 2 * 2.0 * queries * keys * config.num_heads * config.d_kv


def _feed_forward(config: T5Config, num_tokens: int) -> float:
    matrices = 3 if config.feed_forward_proj == "gated-gelu" else 2
    return matrices * 2.0 * num_tokens * config.d_model * config.d_ff
