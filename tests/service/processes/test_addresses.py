"""Names in a directory that is ours alone."""

from pathlib import Path

import pytest

from qdts.errors import ConfigError, Unavailable
from qdts.service.processes.addresses import Addresses, Newest


def test_names(directory: Path) -> None:
    addresses = Addresses(directory)
    assert addresses.socket(3, 1) == directory / "engine-3-1.sock"
    assert addresses.board(3, 1) == directory / "engine-3-1.board"


def test_the_newest_generation(directory: Path) -> None:
    addresses = Addresses(directory)
    with pytest.raises(Unavailable, match="no engine is ready yet"):
        _ = addresses.newest
    for text, newest in (
        ("12\n/models/next\n", Newest(generation=12, model="/models/next")),
        ("7\nnone\n", Newest(generation=7, model="none")),
        ("7\n/models/\n odd\n", Newest(generation=7, model="/models/\n odd")),
        ("12\n", Newest(generation=12, model=None)),
    ):
        (directory / "generation").write_text(text)
        assert addresses.newest == newest
    (directory / "generation").write_text("")
    with pytest.raises(Unavailable):
        _ = addresses.newest


def test_a_directory_of_ours(directory: Path) -> None:
    Addresses(directory).check()


@pytest.mark.parametrize("mode", [0o701, 0o750, 0o755])
def test_one_that_others_may_enter_is_refused(directory: Path, mode: int) -> None:
    directory.chmod(mode)
    with pytest.raises(ConfigError, match=r"processes\.directory.*0700"):
        Addresses(directory).check()
    directory.chmod(0o700)


def test_none_is_refused(directory: Path) -> None:
    with pytest.raises(ConfigError, match=r"processes\.directory.*No such file"):
        Addresses(directory / "x").check()
    (directory / "file").touch(0o600)
    with pytest.raises(ConfigError, match="must be a directory"):
        Addresses(directory / "file").check()
