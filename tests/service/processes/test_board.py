"""What readers see is always one whole record of the writer's, in order, however the two meet."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from qdts.errors import Unavailable
from qdts.service.processes import board
from qdts.service.processes.board import BoardReader, BoardWriter, Load
from qdts.service.request import Priority


def load(number: int = 0, **other: object) -> Load:
    """All numbers hang on one."""
    values: dict[str, object] = {
        "at": float(number),
        "num_places": number,
        "max_queue": number,
        "num_running": number,
        "queued": dict.fromkeys(Priority, number),
        "num_fronts": number,
        "taken_s": float(number),
        "version": f"v{number}",
    }
    return Load(**(values | other))  # type: ignore[arg-type]


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    writer = BoardWriter(tmp_path / "a.board")
    reader = BoardReader(tmp_path / "a.board")
    assert reader.read() is None, "nothing has been said"
    for said in (load(3), load(4, taken_s=None, called_at=2.5, is_draining=True, version="é" * 40)):
        writer.write(said)
        heard = reader.read()
        assert heard is not None and heard.version == said.version[:32] or heard == said
    assert heard is not None and (heard.taken_s, heard.called_at, heard.is_draining) == (None, 2.5, True)
    reader.close()
    writer.close()
    assert [*tmp_path.iterdir()] == []


def test_inside_is_all_that_wait_and_run() -> None:
    assert load(2).num_inside == 8


def test_how_old_it_is() -> None:
    assert load(10).age_s(lambda: 12.5) == 2.5


def test_there_is_none() -> None:
    with pytest.raises(Unavailable, match="no board"):
        BoardReader(Path("/nowhere/engine-1-0.board"))


def test_a_file_that_is_no_board(tmp_path: Path) -> None:
    (tmp_path / "a.board").write_bytes(b"short")
    with pytest.raises(Unavailable, match="no board"):
        BoardReader(tmp_path / "a.board")


def test_a_record_that_stays_half_written_is_not_read(tmp_path: Path) -> None:
    """Its writer was killed within a write: what was said before stays, and gets old."""
    path = tmp_path / "a.board"
    writer = BoardWriter(path)
    reader = BoardReader(path)
    writer.write(load(1))
    assert reader.read() == load(1)
    whole = path.read_bytes()
    writer.write(load(2))
    other = path.read_bytes()
    for cut in range(1, len(whole)):
        torn = other[:cut] + whole[cut:]
        path.write_bytes(torn) if torn not in (whole, other) else None
        assert reader.read() in (load(1), load(2))
        if torn not in (whole, other):
            assert BoardReader(path).read() is None
    writer.close()


def test_who_has_an_old_board_keeps_it(tmp_path: Path) -> None:
    """A process that takes the place of one that died does not speak for it."""
    path = tmp_path / "a.board"
    old = BoardWriter(path)
    old.write(load(1))
    reader = BoardReader(path)
    new = BoardWriter(path)
    new.write(load(2))
    assert reader.read() == load(1)
    assert BoardReader(path).read() == load(2)
    new.close()


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from qdts.service.processes.board import BoardWriter, Load
from qdts.service.request import Priority
writer = BoardWriter(Path(sys.argv[1]))
print("writes", flush=True)
number = 0
while True:
    number += 1
    n = number % 100_000
    queued = dict.fromkeys(Priority, n)
    writer.write(Load(at=float(n), num_places=n, max_queue=n, num_running=n, queued=queued, num_fronts=n,
                      taken_s=float(n), version=f"v{n}"))
"""


def test_no_record_is_ever_seen_half_written(tmp_path: Path) -> None:
    """Another process writes as fast as it can."""
    path = tmp_path / "a.board"
    arguments = [sys.executable, "-c", WRITER, str(path), str(Path(board.__file__).parents[2])]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        reader, seen = BoardReader(path), set[float]()
        until = time.monotonic() + 3
        while time.monotonic() < until or len(seen) < 100:
            heard = reader.read()
            if heard is not None:
                assert heard == load(int(heard.at))
                seen.add(heard.at)
            assert time.monotonic() < until + 60, "it does not write"
        process.kill()
