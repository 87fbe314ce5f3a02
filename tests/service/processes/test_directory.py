"""The private directory: one server's, nobody else's, gone afterwards."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from qdts.errors import ConfigError, Unavailable
from qdts.service.processes.addresses import Addresses, Newest
from qdts.service.processes.directory import Directory, remove_orphaned


@pytest.fixture(name="place")
def _place(directory: Path) -> Iterator[Path]:
    yield directory / "place"
    # for the removal of `directory` itself
    (directory / "place").mkdir(exist_ok=True)


def test_new_one_is_private_and_goes_with_all_that_is_in_it() -> None:
    held = Directory.open("")
    assert held.path.stat().st_mode & 0o777 == 0o700
    held.publish(3, "/models/\udcff")
    assert Addresses(held.path).newest == Newest(generation=3, model="/models/\udcff")
    (held.path / "engine-3-0.sock").touch()
    held.remove()
    assert not held.path.exists()


def test_what_an_earlier_server_left_is_cleared_and_what_is_not_ours_stays(place: Path) -> None:
    place.mkdir(mode=0o700)
    for name in ("generation", "engine-0-0.sock", "engine-0-0.board", "notes.txt"):
        (place / name).write_text("7")
    held = Directory.open(str(place))
    assert {file.name for file in place.iterdir()} == {"lock", "notes.txt"}
    held.remove()
    assert [file.name for file in place.iterdir()] == ["notes.txt"]
    (place / "notes.txt").unlink()


def test_one_in_use_is_refused_and_left_alone(place: Path) -> None:
    held = Directory.open(str(place))
    held.publish(1, "none")
    with pytest.raises(ConfigError, match="another server"):
        Directory.open(str(place))
    remove_orphaned(place)
    assert Addresses(place).newest.generation == 1
    held.remove()


def test_orphaned_one_is_removed(place: Path) -> None:
    held = Directory.open(str(place))
    held.publish(1, "none")
    os.close(held._lock)  # as the end of its process does
    remove_orphaned(place)
    assert not place.exists()
    remove_orphaned(place)  # the second of two that are left


def test_one_that_others_may_enter_is_refused(place: Path) -> None:
    place.mkdir()
    place.chmod(0o755)
    with pytest.raises(ConfigError, match=r"processes\.directory.*0700"):
        Directory.open(str(place))


def test_path_too_long_for_sockets_is_refused(place: Path) -> None:
    with pytest.raises(ConfigError, match="at most 80 bytes"):
        Directory.open(str(place / ("x" * 80)))


def test_file_in_its_place_is_refused(place: Path) -> None:
    place.touch()
    with pytest.raises(ConfigError, match=r"processes\.directory"):
        Directory.open(str(place))
    place.unlink()


def test_reader_gets_the_old_generation_or_the_new_one(place: Path) -> None:
    held = Directory.open(str(place))
    seen: list[Newest] = []
    for generation in range(200):
        held.publish(generation, f"/models/{generation}")
        seen.append(Addresses(place).newest)
    assert seen == [Newest(generation=number, model=f"/models/{number}") for number in range(200)]
    assert not [*place.glob("*.new")]
    held.remove()


def test_what_cannot_be_published_leaves_the_one_before(place: Path) -> None:
    held = Directory.open(str(place))
    held.publish(1, "/models/one")
    (place / "generation.new").mkdir()
    with pytest.raises(Unavailable, match=r"processes\.directory: Is a directory"):
        held.publish(2, "/models/two")
    assert Addresses(place).newest == Newest(generation=1, model="/models/one")
    (place / "generation.new").rmdir()
    held.remove()
