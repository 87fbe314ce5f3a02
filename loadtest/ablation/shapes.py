"""FLOPs and bytes of one request at full size, from arithmetic alone: the seed's shape beside encoder-decoders.

The request: as many tokens as the design assumes, copied sentences drafted (two decoder steps) or token by token.
"""

from dataclasses import dataclass

from qdts.loadtest.ablation.nets import Config, inner_parameters, replace_vocabulary
from qdts.loadtest.ablation.trial import request_cost
from qdts.models.nets.config import T5Config
from qdts.models.nets.decoder_only import DecoderOnlyConfig
from qdts.models.nets.request_cost import Request

VOCAB_SIZE = 16384
DOCUMENT_TOKENS, PREFIX_TOKENS, OUTPUT_TOKENS = 500, 22, 48
DRAFTED_STEPS = 2
_BYTES = 4  # fp32, as request_cost counts


def _encoder_decoder(num_layers: int, num_decoder_layers: int) -> T5Config:
    return T5Config(
        vocab_size=VOCAB_SIZE,
        d_model=768,
        d_kv=64,
        d_ff=2048,
        num_layers=num_layers,
        num_decoder_layers=num_decoder_layers,
        num_heads=12,
    )


FULL_SIZE: dict[str, Config] = {
    "12+2": _encoder_decoder(12, 2),
    "10+3": _encoder_decoder(10, 3),
    "8+4": _encoder_decoder(8, 4),
    "6+6": _encoder_decoder(6, 6),
    "decoder-only, 12 layers": DecoderOnlyConfig(vocab_size=VOCAB_SIZE),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeCost:
    """Of one shape: numbers trained, and what a request costs with a new and with a known document."""

    name: str
    parameters: int
    gflop_cold: float
    gflop_known: float
    numbers_moved_cold: float
    numbers_moved_known: float
    numbers_moved_undrafted: float


def full_size_costs() -> list[ShapeCost]:
    """One entry per shape."""
    return [_shape_cost(name, config) for name, config in FULL_SIZE.items()]


def _shape_cost(name: str, config: Config) -> ShapeCost:
    cold, known, undrafted = (
        request_cost(config, _request(known, steps))
        for known, steps in ((False, DRAFTED_STEPS), (True, DRAFTED_STEPS), (True, OUTPUT_TOKENS))
    )
    return ShapeCost(
        name=name,
        parameters=inner_parameters(replace_vocabulary(config)) + config.vocab_size * config.d_model,
        gflop_cold=cold.flops / 1e9,
        gflop_known=known.flops / 1e9,
        numbers_moved_cold=(cold.weight_bytes + cold.state_bytes) / _BYTES,
        numbers_moved_known=(known.weight_bytes + known.state_bytes) / _BYTES,
        numbers_moved_undrafted=(undrafted.weight_bytes + undrafted.state_bytes) / _BYTES,
    )


def _request(states_known: bool, steps: int) -> Request:
    return Request(
        encoder_tokens=DOCUMENT_TOKENS,
        prefix_tokens=PREFIX_TOKENS,
        output_tokens=OUTPUT_TOKENS,
        steps=steps,
        states_known=states_known,
    )


def to_markdown(costs: list[ShapeCost]) -> str:
    """The table in Markdown; numbers moved in millions, times the bytes of one in the format used."""
    header = ("shape", "parameters, M", "GFLOP, new document", "GFLOP, known document") + (
        "M numbers moved, new",
        "M numbers moved, known",
        "the same, undrafted",
    )
    rows = [header, ("---", *("---:" for _ in header[1:]))]
    for cost in costs:
        moved = (cost.numbers_moved_cold, cost.numbers_moved_known, cost.numbers_moved_undrafted)
        rows.append(
            (cost.name, f"{cost.parameters / 1e6:.1f}", f"{cost.gflop_cold:.1f}", f"{cost.gflop_known:.1f}")
            + tuple(f"{number / 1e6:.0f}" for number in moved)
        )
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"
