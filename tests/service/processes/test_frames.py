"""A stream cut anywhere gives the same frames; what is no frame is refused at its first bytes."""

import os
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdts.errors import Unavailable
from qdts.service.processes import frames
from qdts.service.processes.frames import Frame, FrameReader, Kind

FRAMES = st.lists(st.builds(Frame, st.sampled_from(Kind), st.integers(0, (1 << 64) - 1), st.binary(max_size=300)))


@given(sent=FRAMES, cuts=st.lists(st.integers(1, 400), min_size=1))
@settings(max_examples=200, deadline=None)
def test_any_cut_gives_the_same_frames(sent: list[Frame], cuts: list[int]) -> None:
    stream = b"".join(frames.encode(*frame) for frame in sent)
    reader, got, at, turn = FrameReader(), list[Frame](), 0, 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        got += reader.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
    assert got == sent


@pytest.mark.parametrize("kind", [0, 7, 255])
def test_an_unknown_kind_is_no_frame(kind: int) -> None:
    stream = bytearray(frames.encode(Kind.DONE, 1, b"x"))
    stream[4] = kind
    with pytest.raises(Unavailable, match="no frame"):
        list(FrameReader().feed(bytes(stream)))


def test_a_frame_that_says_it_is_too_large_is_not_waited_for() -> None:
    header = frames.encode(Kind.DONE, 1, bytes(101))[:13]
    with pytest.raises(Unavailable, match="101 bytes"):
        list(FrameReader(max_payload=100).feed(header))


def test_nothing_too_large_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MAX_PAYLOAD", 10)
    with pytest.raises(Unavailable, match="at most 10"):
        frames.encode(Kind.DONE, 1, bytes(11))


def test_whose_process_a_peer_is(monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = socket.socketpair()
    with here, there:
        frames.check_peer(here)
        monkeypatch.setattr(os, "geteuid", lambda: 4711)
        with pytest.raises(Unavailable, match="must be 4711's"):
            frames.check_peer(here)
