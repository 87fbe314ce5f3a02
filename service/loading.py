"""The generative model that a configuration names."""

from collections.abc import Callable

from qdts.models.shipped import find_model
from qdts.service.config import EngineConfig
from qdts.service.generative import Summarizer

Load = Callable[[EngineConfig], Summarizer | None]


def load_model(config: EngineConfig) -> Summarizer | None:
    """The model that the configuration names, or the one that ships with qdts, or None."""
    path = find_model(config.model)
    if path is None:
        return None
    # Imported here: a server without a model needs no runtime.
    from qdts.models.prompt import PromptConfig
    from qdts.models.summarizer import Summarizer as GenerativeSummarizer
    from qdts.models.summarizer import SummarizerConfig

    settings = SummarizerConfig(
        runtime=config.runtime,
        precision=config.precision,
        num_threads=config.num_threads or None,
        max_batch=config.max_batch,
        mode=config.mode,
        states_bytes=config.states_bytes,
        prompt=PromptConfig(max_kept_chars=config.kept_chars),
    )
    return GenerativeSummarizer.load(path, settings)
