"""From rows and raw prose to a data set of examples, with everything that touches the evaluation set left out.

read -> clean, hold out, compare with the evaluation set -> drop duplicates -> derive variants -> build examples

Reading, cleaning and building run in worker processes, chunk by chunk; duplicates are found here, in the stream's
order. Nothing holds more than a few chunks, but for the memory of duplicates (duplicates.py). The same config gives the
same data set, whatever the number of workers.
"""

import os
from collections.abc import Iterator

from tqdm import tqdm

from qdts.models.evaluation.contamination import Contamination
from qdts.models.lexicon import Lexicon
from qdts.models.prompt import PromptBuilder
from qdts.models.tokenizer import Tokenizer
from qdts.models.training.data.building import Built, BuiltExample, build
from qdts.models.training.data.chunks import Chunk, read_chunks
from qdts.models.training.data.collecting import Collected, Collector
from qdts.models.training.data.config import NO_LIMIT, PrepareConfig
from qdts.models.training.data.duplicates import Duplicates
from qdts.models.training.data.pool import OrderedMap, ordered_map
from qdts.models.training.data.reading import BadRows
from qdts.models.training.data.rows import TrainRow
from qdts.models.training.data.tally import Origin, Tally
from qdts.models.training.dataset import write_examples
from qdts.models.training.examples import Example


class _Worker:
    """What each process holds: set once by `start`, used by the functions below."""

    config: PrepareConfig
    collector: Collector
    builder: PromptBuilder


def _start(config: PrepareConfig) -> None:
    _Worker.config = config
    if config.num_workers > 1:
        # The processes share the cores already: threads in each of them would only get in each other's way.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    contamination = Contamination.load(config.evaluation) if config.evaluation else Contamination([])
    _Worker.collector = Collector(contamination=contamination, clean=config.clean, weak=config.weak)
    tokenizer = Tokenizer.load(config.model / "tokenizer.json")
    lexicon = Lexicon.load(config.model / "lexicon.safetensors")
    _Worker.builder = PromptBuilder(tokenizer, lexicon, config.prompt)


def _collect(chunk: Chunk) -> Collected:
    return _Worker.collector.collect(chunk)


def _build(kept: tuple[Chunk, list[TrainRow]]) -> Built:
    return build(*kept, _Worker.builder, _Worker.config.variants)


def prepare(config: PrepareConfig) -> Tally:
    """Write the data set, report.json and sources.json to `config.out`; returns what was counted.

    A dry run writes the two files alone, and counts rows where examples would be.
    """
    tally = Tally()
    with ordered_map(config.num_workers, _start, config) as run:
        if config.dry_run:
            _count_rows(config, run, tally)
        else:
            write_examples(_examples(config, run, tally), config.out)
    tally.write(config.out)
    return tally


def _count_rows(config: PrepareConfig, run: OrderedMap, tally: Tally) -> None:
    """Count the rows that examples would be made of."""
    with tqdm(unit="row") as progress:
        for _, rows in clean_rows(config, run, tally):
            tally.written.update(Origin(row.source, row.licence, row.kind) for row in rows)
            progress.update(len(rows))


def clean_rows(config: PrepareConfig, run: OrderedMap, tally: Tally) -> Iterator[tuple[Chunk, list[TrainRow]]]:
    """The rows of each chunk that are clean and say something new."""
    duplicates = Duplicates(config.duplicates)
    bad: dict[str, BadRows] = {}
    for collected in run(_collect, read_chunks(config.sources, config.seed)):
        chunk = collected.chunk
        tally.merge(collected.tally)
        bad_rows = bad.setdefault(chunk.file, BadRows(f"{chunk.file}", config.max_bad_share))
        bad_rows.add(chunk.num_read, collected.faults)
        yield chunk, _new_rows(collected, duplicates, tally)
    for bad_rows in bad.values():
        bad_rows.finish()


def _new_rows(collected: Collected, duplicates: Duplicates, tally: Tally) -> list[TrainRow]:
    kept: list[TrainRow] = []
    for row, print_ in zip(collected.rows, collected.fingerprints, strict=True):
        reason = duplicates.reason(print_, collected.chunk.source.max_per_document)
        if reason:
            tally.drop(collected.chunk.file, reason)
        else:
            kept.append(row)
    return kept


def _examples(config: PrepareConfig, run: OrderedMap, tally: Tally) -> Iterator[Example]:
    """The examples, counted as they are written."""
    limit = config.max_examples
    with tqdm(unit="example", total=limit if limit < NO_LIMIT else None) as progress:
        for built in run(_build, clean_rows(config, run, tally)):
            for reason, count in built.dropped.items():
                tally.dropped[built.file, reason] += count
            for made in built.examples:
                if progress.n >= limit:
                    return
                _count(made, tally)
                progress.update()
                yield made.example


def _count(made: BuiltExample, tally: Tally) -> None:
    tally.written[made.origin] += 1
    tally.traits.update(made.traits)
    tally.traits["encoder tokens"] += len(made.example.encoder_ids)
    tally.markers.update(made.markers)
