"""Full int8 for OpenVINO: weights and activations by nncf, calibrated on prompts of the evaluation sample that ships.

What flows into each plain graph is recorded while ONNX Runtime writes summaries in fp32.
"""

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from qdts.loadtest.bench_agreement import choose_rows
from qdts.loadtest.peers import plain_onnx
from qdts.loadtest.peers.base import CannotBuild, Engine, Request, Scenario, Text
from qdts.loadtest.peers.requests import RequestConfig, make_rounds, open_builder
from qdts.models.settings import ModelSettings

_PACKAGE = "nncf"
NUM_PROMPTS = 24
# For the decoder-only shape: what its random weights write is not judged, and speed does not depend on scales.
_NUM_RANDOM = 2
# Of what a graph was given, as many inputs as this per prompt calibrate it, from first to last.
_PER_PROMPT = 7

Feeds = Mapping[str, Any]


class _Recording:
    """A session that remembers what it was given."""

    def __init__(self, session: Any, feeds: list[Feeds]) -> None:
        self._session = session
        self._feeds = feeds
        self.get_inputs = session.get_inputs

    def run(self, names: Sequence[str] | None, feeds: Feeds) -> list[Any]:
        """As a session's."""
        self._feeds.append(feeds)
        return self._session.run(names, feeds)


def record(directory: Path) -> dict[str, list[Feeds]]:
    """By the name of each plain fp32 graph of a family, inputs it had."""
    found: dict[str, list[Feeds]] = {}

    def open_graph(path: Path, num_threads: int) -> Any:
        return _Recording(plain_onnx.open_session(path, num_threads), found.setdefault(path.stem, []))

    is_encoder_decoder = (directory / "config.json").is_file()
    open_engine = plain_onnx.EncoderDecoder if is_encoder_decoder else plain_onnx.DecoderOnly
    engine = cast(Engine, open_engine(directory, "fp32", 0, open_graph))
    num_prompts = NUM_PROMPTS if is_encoder_decoder else min(NUM_PROMPTS, _NUM_RANDOM)
    for request in _requests(directory, num_prompts):
        engine.write(engine.read([request]), [request])
    most = NUM_PROMPTS * _PER_PROMPT
    return {name: feeds[:: 1 + (len(feeds) - 1) // most] for name, feeds in found.items()}


def quantize(model: Any, feeds: Sequence[Feeds], name: str) -> Any:
    """An OpenVINO model in int8; CannotBuild where nncf refuses."""
    nncf = import_module(_PACKAGE)
    try:
        return nncf.quantize(model, nncf.Dataset(feeds), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(feeds))
    except (nncf.ValidationError, nncf.InternalError, RuntimeError) as error:
        raise CannotBuild(f"nncf cannot quantise {name}: {error}") from error


def _requests(directory: Path, num_prompts: int) -> Iterable[Request]:
    """Summaries; the decoder-only shape keeps 37 MB of keys and values per prompt, so its first token and one more must
    do."""
    config = RequestConfig(num_tokens=2, text=Text.SUMMARY, trims=ModelSettings.load(directory).copying.trims)
    rounds = make_rounds(open_builder(directory), choose_rows(None, num_prompts), config)
    return (one[Scenario.JOINT][0] for one in rounds)
