"""Every fp32 engine writes what torch writes; what is not installed here is left to where it is."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from qdts.loadtest.peers.base import Family, Request, System
from qdts.loadtest.peers.systems import ORACLE, SEED_ORACLE, SYSTEMS, absent_packages
from qdts.models.tokenizer import END

BY_NAME = {system.name: system for system in SYSTEMS}
ORACLES = {Family.ENCODER_DECODER: ORACLE, Family.DECODER_ONLY: SEED_ORACLE}
# The engines' own imports warn of what will change in Python; nothing of ours does.
pytestmark = pytest.mark.filterwarnings("default")


def write_all(system: System, work: Path, asked: Sequence[Request]) -> list[list[int]]:
    system.load().build(work / system.family.value, system.variant)
    engine = system.open(work, 1)
    return [engine.write(engine.read(request), request).tokens for request in asked]


@pytest.fixture(scope="module")
def expected(work: Path, asked: Sequence[Request]) -> dict[Family, list[list[int]]]:
    return {family: write_all(BY_NAME[name], work, asked) for family, name in ORACLES.items()}


def test_the_oracles_say_different_things_and_do_not_stop_at_end(expected: dict[Family, list[list[int]]]) -> None:
    for answers in expected.values():
        assert len({tuple(answer) for answer in answers}) > 1
        assert any(END in answer[:-1] for answer in answers)
        assert {len(answer) for answer in answers} == {12}


@pytest.mark.parametrize("system", [s for s in SYSTEMS if s.is_exact], ids=lambda system: system.name)
def test_fp32_is_exact(
    system: System, work: Path, asked: Sequence[Request], expected: dict[Family, list[list[int]]]
) -> None:
    if missing := absent_packages(system):
        pytest.skip(f"not installed: {', '.join(missing)}")
    assert write_all(system, work, asked) == expected[system.family]


@pytest.mark.parametrize("system", [s for s in SYSTEMS if not s.is_exact], ids=lambda system: system.name)
def test_the_others_write_as_many_tokens(system: System, work: Path, asked: Sequence[Request]) -> None:
    if missing := absent_packages(system):
        pytest.skip(f"not installed: {', '.join(missing)}")
    lengths = {len(tokens) for tokens in write_all(system, work, asked)}
    assert lengths == {12} or (system.name == "ours_copy" and min(lengths) > 0)


def test_drafts_change_steps_and_no_token(work: Path, asked: Sequence[Request]) -> None:
    plain, drafted = (BY_NAME[name].open(work, 1) for name in ("ours_int8_undrafted", "ours_int8"))
    for request in asked:
        one, other = (engine.write(engine.read(request), request) for engine in (plain, drafted))
        assert one.tokens == other.tokens
        assert one.num_steps == request.num_tokens >= other.num_steps
