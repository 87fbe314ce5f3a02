"""What a child reads on its standard input: the settings and no byte more, then orders, however they are cut."""

import json
import os
from collections.abc import Iterator

import pytest

from qdts.errors import ConfigError
from qdts.service import logs
from qdts.service.config import ServerConfig
from qdts.service.processes.handover import pack_config
from qdts.service.processes.orders import Orders, log_level_order, read_settings


@pytest.fixture(name="pipe")
def _pipe() -> Iterator[tuple[int, int]]:
    """Both ends; the end that is written to may be closed by the test."""
    before = logs.level_now()
    reads, writes = os.pipe()
    yield reads, writes
    os.close(reads)
    logs.configure(before)


def test_settings_are_read_and_what_comes_after_them_is_left(pipe: tuple[int, int]) -> None:
    reads, writes = pipe
    os.write(writes, pack_config(ServerConfig()) + log_level_order("error"))
    assert read_settings(reads) == ServerConfig()
    assert Orders(reads).obey()
    assert logs.level_now() == "error"
    os.close(writes)


def test_no_settings_are_refused(pipe: tuple[int, int]) -> None:
    reads, writes = pipe
    os.close(writes)
    with pytest.raises(ConfigError, match="standard input"):
        read_settings(reads)


def test_order_is_obeyed_once_it_is_whole_and_the_end_is_told(pipe: tuple[int, int]) -> None:
    reads, writes = pipe
    logs.configure("info")
    orders, line = Orders(reads), log_level_order("error")
    for place in range(len(line)):
        assert logs.level_now() == "info"
        os.write(writes, line[place : place + 1])
        assert orders.obey()
    assert logs.level_now() == "error"
    os.write(writes, log_level_order("debug") + log_level_order("warning") + log_level_order("debug")[:-1])
    assert orders.obey()
    assert logs.level_now() == "warning", "the last whole one"
    os.close(writes)
    assert not orders.obey()
    assert logs.level_now() == "warning", "what has no end was not said"


@pytest.mark.parametrize(
    ("line", "names"),
    [
        (b'{"log_level": "loud"}', ["log_level"]),
        (b'{"log_level": 3}', ["log_level"]),
        (b'{"later": {"than": "this"}}', ["later"]),
        (b"[]", None),
        (b"{", None),
        (b"\xff\xfe", None),
        (b"", None),
    ],
)
def test_what_is_no_order_is_left_undone_and_logged(
    pipe: tuple[int, int], line: bytes, names: list[str] | None, capfd: pytest.CaptureFixture[str]
) -> None:
    reads, writes = pipe
    logs.configure("info")
    os.write(writes, line + b"\n" + log_level_order("error"))
    assert Orders(reads).obey()
    said = json.loads(capfd.readouterr().err)
    assert (said["event"], said["names"]) == ("order_unknown", names)
    assert logs.level_now() == "error", "the next one is obeyed"
    os.close(writes)
