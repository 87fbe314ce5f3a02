"""One variant with one seed: train it, let it answer the held-out rows, count. Leaves result.json; resumes."""

import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from qdts.loadtest.ablation.data import AblationData, HeldOut
from qdts.loadtest.ablation.nets import (
    Config,
    Net,
    Scale,
    count_parameters,
    equal_config,
    inner_parameters,
    make_net,
    replace_vocabulary,
)
from qdts.loadtest.ablation.variants import Variant
from qdts.models.evaluation.metrics import Measures, measure
from qdts.models.evaluation.systems import document_of, sentence_texts
from qdts.models.interaction import NUM_FEATURES
from qdts.models.nets.config import T5Config
from qdts.models.nets.request_cost import Request, RequestCost, decoder_only_cost, encoder_decoder_cost
from qdts.models.nets.t5 import T5
from qdts.models.prompt import Mode, Prompt
from qdts.models.runtimes.base import Runtime
from qdts.models.runtimes.config import RuntimeConfig
from qdts.models.runtimes.decoder_only import DecoderOnlyRuntime
from qdts.models.runtimes.eager import EagerRuntime
from qdts.models.summarizer import Generation, Summarizer, SummarizerConfig
from qdts.models.tokenizer import FIRST_MARKER
from qdts.models.training.config import FitTaskConfig, LoopConfig
from qdts.models.training.decoder_only import DecoderOnlyTask
from qdts.models.training.fit import FitTask
from qdts.models.training.loop import CHECKPOINT, METRICS, Trainer
from qdts.models.training.meter import read_rows

RESULT = "result.json"
FIRST_SENTENCE = "first_sentence"
MAX_WORDS = 50
# Copied tokens in the loss: the copy constraint leaves little of them to the net, and each costs a softmax.
_COPIED_SHARE = 0.1
_LAST_ROWS = 3  # of the log: what the training figures are means of


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialConfig:
    """One trial. `loop.out` is where it leaves its checkpoint and result; `loop.seed` seeds everything."""

    variant: Variant
    base: Variant
    scale: Scale
    loop: LoopConfig
    tokens_per_batch: int = 2048


def load_result(config: TrialConfig) -> dict[str, Any] | None:
    """The trial's result from before, if it has one."""
    path = config.loop.out / RESULT
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def run_trial(config: TrialConfig, data: AblationData) -> dict[str, Any] | None:
    """The result, from before where there is one; None where `max_minutes` ended the training before its last step."""
    if (known := load_result(config)) is not None:
        return known
    shape = equal_config(config.variant, config.scale, config.base)
    net = make_net(shape, data.lexicon(config.variant), config.loop.seed)
    examples = data.examples(config.variant)
    is_resumed = (config.loop.out / CHECKPOINT).is_file()
    before = time.process_time()
    if not _train(net, config, examples):
        return None
    cpu_seconds = None if is_resumed else time.process_time() - before
    result = {
        "variant": asdict(config.variant),
        "seed": config.loop.seed,
        "shape": asdict(shape),
        "parameters": count_parameters(net),
        "inner_parameters": inner_parameters(replace_vocabulary(shape)),
        "training": _training_figures(config, cpu_seconds),
        "modes": {mode: _answer_all(net, mode, config.variant, data) for mode in config.variant.modes},
    }
    partial = config.loop.out / "result.partial"
    partial.write_text(json.dumps(result), encoding="utf-8")
    partial.rename(config.loop.out / RESULT)
    return load_result(config)


def _train(net: Net, config: TrialConfig, examples: Path) -> bool:
    variant = config.variant
    task = FitTaskConfig(
        data=(examples,),
        shares=(1.0,),
        tokens_per_batch=config.tokens_per_batch,
        indexed_share=variant.indexed_share,
        # The documents are short: their few markers need not be learned from others' places.
        shifted_share=0.0,
        copied_share=_COPIED_SHARE,
        seed=config.loop.seed,
    )
    learned = FitTask(task) if isinstance(net, T5) else DecoderOnlyTask(task)
    return Trainer(net.train(), learned, replace(config.loop, embedding_rate=variant.embedding_rate)).run()


def _training_figures(config: TrialConfig, cpu_seconds: float | None) -> dict[str, float | None]:
    """Of the whole run; accuracies and losses of its end. Nobody knows a resumed run's processor time: None."""
    rows = read_rows(config.loop.out / METRICS)
    names = ("marker_accuracy", "marker_loss", "copied_loss")
    figures = {name: statistics.fmean(row[name] for row in rows[-_LAST_ROWS:]) for name in names}
    tokens = rows[-1]["tokens"]
    return figures | {
        "steps": rows[-1]["step"],
        "tokens": tokens,
        "minutes": rows[-1]["minutes"],
        "tokens_per_cpu_s": None if cpu_seconds is None else tokens / cpu_seconds,
    }


def _answer_all(net: Net, mode: Mode, variant: Variant, data: AblationData) -> dict[str, Any]:
    """Per held-out row its measures and costs; and their means over rows."""
    summarizer = Summarizer("ablation", data.builder(variant), make_runtime(net), SummarizerConfig(precision="fp32"))
    bar = tqdm(data.held_out(variant), desc=f"{variant.name} {mode}", unit="row", leave=False, disable=None)
    rows = [_answer(summarizer, net.config, mode, item) for item in bar]
    costs: list[dict[str, float]] = [row.pop("cost") for row in rows]
    return {"rows": rows, "cost": {name: statistics.fmean(cost[name] for cost in costs) for name in costs[0]}}


def make_runtime(net: Net) -> Runtime:
    """What decodes with this net."""
    return EagerRuntime(net, RuntimeConfig(precision="fp32")) if isinstance(net, T5) else DecoderOnlyRuntime(net)


def _answer(summarizer: Summarizer, config: Config, mode: Mode, item: HeldOut) -> dict[str, Any]:
    prompt = summarizer.prepare(item.row.query, document_of(item.row), max_words=MAX_WORDS, mode=mode)
    generation = summarizer.start([prompt])
    while generation.active:
        generation.step()
    tokens = generation.tokens(0)
    measures = measure(sentence_texts(generation.summary(0)), item.row)
    if item.first is not None:
        measures[FIRST_SENTENCE] = float(prompt.sentences[tokens[0] - FIRST_MARKER].span.start == item.first)
    return {
        "set": item.row.set,
        "id": item.row.id,
        "measures": measures,
        "cost": _cost(config, prompt, generation, tokens, states_known=mode == "indexed"),
    }


def _cost(
    config: Config, prompt: Prompt, generation: Generation, tokens: Sequence[int], *, states_known: bool
) -> dict[str, float]:
    request = Request(
        encoder_tokens=len(prompt.encoder_ids),
        prefix_tokens=len(prompt.prefix),
        output_tokens=len(tokens),
        steps=generation.num_steps,
        states_known=states_known,
        query_tokens=len(prompt.query_ids) if config.num_features == NUM_FEATURES else 0,
    )
    cost = request_cost(config, request)
    return {
        "flops": cost.flops,
        "weight_bytes": cost.weight_bytes,
        "state_bytes": cost.state_bytes,
        "encoder_tokens": request.encoder_tokens,
        "prefix_tokens": request.prefix_tokens,
        "output_tokens": request.output_tokens,
        "steps": request.steps,
    }


def request_cost(config: Config, request: Request) -> RequestCost:
    """The cost of a request by either kind of net, in fp32."""
    return encoder_decoder_cost(config, request) if isinstance(config, T5Config) else decoder_only_cost(config, request)


def measures_by_row(result: dict[str, Any], mode: Mode) -> dict[tuple[str, str], Measures]:
    """Set and id of each row with its measures, from a trial's result."""
    return {(row["set"], row["id"]): row["measures"] for row in result["modes"][mode]["rows"]}
