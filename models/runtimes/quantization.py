"""quantize.json beside int8 graphs: what a runtime must know of them before it runs them."""

import json
from pathlib import Path

from qdts.errors import Unsupported, WeightsCorrupt
from qdts.models.runtimes.cpu import NEEDS, sums_exactly

QUANTIZATION = "quantize.json"


def check_weight_bits(directory: Path, providers: tuple[str, ...]) -> None:
    """Unsupported where the graphs' weights have 8 bits and this CPU's sums of such products would saturate.

    Graphs without quantize.json are of the first releases, which have 7 bits.
    """
    bits = weight_bits(directory)
    if bits > min(NEEDS) and "CPUExecutionProvider" in providers and not sums_exactly():
        raise Unsupported(
            f"{directory}: its weights have {bits} bits and need {NEEDS[bits]}."
            " Take the release with 7 bits, or quantize again with weight_bits = 7."
        )


def weight_bits(directory: Path) -> int:
    """The bits of the integer weights of a directory of graphs."""
    path = directory / QUANTIZATION
    if not path.is_file():
        return min(NEEDS)
    try:
        bits = json.loads(path.read_text(encoding="utf-8"))["weight_bits"]
    except (ValueError, TypeError, KeyError) as error:
        raise WeightsCorrupt(f"{path} does not say weight_bits ({error}): quantize the model again.") from error
    if bits not in NEEDS:
        raise WeightsCorrupt(f"{path}: weight_bits is {bits!r}, not one of {', '.join(map(str, NEEDS))}.")
    return int(bits)
