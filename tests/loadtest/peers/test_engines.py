"""Every fp32 engine writes what torch writes, and the product's summaries; what is not installed here is left to where
it is."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

from qdts.loadtest.peers import ptq
from qdts.loadtest.peers.base import (
    BATCH_SIZE,
    CannotBuild,
    Engine,
    Family,
    KeepingEngine,
    Request,
    Role,
    System,
    Text,
    Way,
)
from qdts.loadtest.peers.systems import (
    ORACLE,
    OURS,
    SEED_ORACLE,
    SHORT_DRAFTS,
    SYSTEMS,
    UNDRAFTED,
    absent_packages,
)
from qdts.loadtest.peers.ways import Desk
from qdts.models.copy_source import copy_state
from qdts.models.document_states import PackedStates
from qdts.models.runtimes import load_runtime
from qdts.models.runtimes.config import RuntimeConfig
from qdts.models.summarizer import Generation, SummarizerConfig
from qdts.models.tokenizer import END

BY_NAME = {system.name: system for system in SYSTEMS}
SUMMARIZING = [s for s in SYSTEMS if s.writes_summaries and Text.SUMMARY in s.texts]
ORACLES = {Family.ENCODER_DECODER: ORACLE, Family.DECODER_ONLY: SEED_ORACLE}
# The engines' own imports warn of what will change in Python; nothing of ours does.
pytestmark = pytest.mark.filterwarnings("default")


def write_all(system: System, work: Path, asked: Sequence[Request]) -> list[list[int]]:
    engine = build_and_open(system, work)
    return [one.tokens for request in asked for one in engine.write(engine.read([request]), [request])]


def build_and_open(system: System, work: Path) -> Engine:
    try:
        system.load().build(work / system.family.value, system.variant)
    except CannotBuild as error:
        pytest.skip(str(error))
    return system.open(work, 1)


@pytest.fixture(scope="module")
def expected(work: Path, asked: Sequence[Request]) -> dict[Family, list[list[int]]]:
    return {family: write_all(BY_NAME[name], work, asked) for family, name in ORACLES.items()}


def test_the_oracles_say_different_things_and_do_not_stop_at_end(expected: dict[Family, list[list[int]]]) -> None:
    for answers in expected.values():
        assert len({tuple(answer) for answer in answers}) > 1
        assert any(END in answer[:-1] for answer in answers)
        assert {len(answer) for answer in answers} == {12}


@pytest.fixture(autouse=True)
def few_calibration_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ptq, "NUM_PROMPTS", 2)


def skip_if_absent(system: System) -> None:
    if missing := absent_packages(system):
        pytest.skip(f"not installed: {', '.join(missing)}")


@pytest.mark.parametrize("system", [s for s in SYSTEMS if s.is_exact], ids=lambda system: system.name)
def test_fp32_is_exact(
    system: System, work: Path, asked: Sequence[Request], expected: dict[Family, list[list[int]]]
) -> None:
    skip_if_absent(system)
    assert write_all(system, work, asked) == expected[system.family]


@pytest.mark.parametrize("system", [s for s in SYSTEMS if not s.is_exact], ids=lambda system: system.name)
def test_the_others_write_as_many_tokens(system: System, work: Path, asked: Sequence[Request]) -> None:
    skip_if_absent(system)
    assert {len(tokens) for tokens in write_all(system, work, asked)} == {12}


@pytest.mark.parametrize(
    ("system", "way"), [(s, way) for s in SYSTEMS for way in s.ways], ids=lambda value: getattr(value, "name", "")
)
def test_a_batch_is_its_requests(system: System, way: Way, work: Path, batch: Sequence[Request]) -> None:
    skip_if_absent(system)
    desk = Desk(build_and_open(system, work), lambda: [system.open(work, 1), system.open(work, 1)])
    desk.prepare(way)
    together = [one.tokens for one in desk.write_all(batch, way)]
    if system.is_exact:
        assert together == write_all(BY_NAME[ORACLE], work, batch)
        assert len({tuple(tokens) for tokens in together}) > 1
    elif system.role is Role.OURS:
        assert together == write_all(system, work, batch)
    else:
        assert len(together) == BATCH_SIZE
        assert {len(tokens) for tokens in together} == {12}


@pytest.mark.parametrize("name", [OURS, SHORT_DRAFTS])
def test_drafts_change_steps_and_no_token(name: str, work: Path, asked: Sequence[Request]) -> None:
    plain, drafted = (BY_NAME[name].open(work, 1) for name in (UNDRAFTED, name))
    for request in asked:
        [one], [other] = (engine.write(engine.read([request]), [request]) for engine in (plain, drafted))
        assert one.tokens == other.tokens
        assert one.num_steps == request.num_tokens >= other.num_steps


def write_product(model: Path, asked: Sequence[Request]) -> list[list[int]]:
    """What the product writes, by its own code."""
    runtime = load_runtime("eager", model, RuntimeConfig(precision="fp32"))
    generation = Generation(runtime, [request.prompt for request in asked], SummarizerConfig(max_draft=0))
    while generation.active:
        generation.step()
    return [generation.tokens(index) for index in range(len(asked))]


def follows_the_constraint(request: Request, tokens: Sequence[int]) -> bool:
    """To the end."""
    state = copy_state(request.prompt, trims=request.trims)
    for token in tokens:
        assert token in state.allowed()
        state.advance(token)
    return state.finished


@pytest.fixture(scope="module")
def served(model: Path, summaries: Sequence[Request]) -> list[list[int]]:
    return [tokens for request in summaries for tokens in write_product(model, [request])]


def test_the_product_writes_different_summaries(served: list[list[int]]) -> None:
    assert len({tuple(tokens) for tokens in served}) > 2
    assert {tokens[-1] for tokens in served} == {END}


@pytest.mark.parametrize("system", [s for s in SUMMARIZING if s.is_exact], ids=lambda system: system.name)
def test_fp32_writes_the_products_summaries(
    system: System, work: Path, summaries: Sequence[Request], served: list[list[int]]
) -> None:
    skip_if_absent(system)
    assert write_all(system, work, summaries) == served


@pytest.mark.parametrize("system", [s for s in SUMMARIZING if not s.is_exact], ids=lambda system: system.name)
def test_the_others_keep_to_the_constraint(system: System, work: Path, summaries: Sequence[Request]) -> None:
    skip_if_absent(system)
    written = write_all(system, work, summaries)
    assert all(map(follows_the_constraint, summaries, written))


@pytest.mark.parametrize("system", [s for s in SYSTEMS if not s.writes_summaries], ids=lambda system: system.name)
def test_who_has_no_hook_writes_as_much_freely(system: System, work: Path, summaries: Sequence[Request]) -> None:
    skip_if_absent(system)
    assert {len(tokens) for tokens in write_all(system, work, summaries)} == {12}


@pytest.mark.parametrize(
    ("system", "way"), [(s, way) for s in SUMMARIZING for way in s.ways], ids=lambda value: getattr(value, "name", "")
)
def test_a_batch_of_summaries_is_its_requests(
    system: System, way: Way, work: Path, model: Path, summary_batch: Sequence[Request]
) -> None:
    skip_if_absent(system)
    desk = Desk(build_and_open(system, work), lambda: [system.open(work, 1), system.open(work, 1)])
    desk.prepare(way)
    together = [one.tokens for one in desk.write_all(summary_batch, way)]
    if system.is_exact:
        assert together == write_product(model, summary_batch)
    elif system.role is Role.OURS:
        assert together == write_all(system, work, summary_batch)
    else:
        assert all(map(follows_the_constraint, summary_batch, together))


def test_drafts_change_no_summary(work: Path, summaries: Sequence[Request]) -> None:
    plain, drafted = (build_and_open(BY_NAME[name], work) for name in (UNDRAFTED, OURS))
    for request in summaries:
        [one], [other] = (engine.write(engine.read([request]), [request]) for engine in (plain, drafted))
        assert one.tokens == other.tokens
        assert one.num_steps == len(one.tokens) >= other.num_steps


def test_ours_keeps_states_in_8_bits_unless_tokens_must_be_exact(work: Path, summaries: Sequence[Request]) -> None:
    exact, small = (cast(KeepingEngine, build_and_open(BY_NAME[name], work)) for name in (ORACLE, OURS))
    known = exact.read(summaries[:1])
    assert exact.keep(known) is known
    [packed] = kept = small.keep(small.read(summaries[:1]))
    assert isinstance(packed, PackedStates)
    [written] = small.write(kept, summaries[:1])
    assert follows_the_constraint(summaries[0], written.tokens)
