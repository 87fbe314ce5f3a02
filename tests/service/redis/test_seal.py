"""Only what was sealed, whole, under its own name, by the same schema and secret, opens."""

from hypothesis import given
from hypothesis import strategies as st

from qdts.service.redis.seal import Seal

SEAL = Seal(b"secret", schema=b"s1")


@given(st.text(max_size=20), st.binary(max_size=200))
def test_what_was_closed_opens(name: str, body: bytes) -> None:
    assert SEAL.open(name, SEAL.close(name, body)) == body


@given(st.binary(max_size=50), st.data())
def test_any_changed_byte_keeps_it_closed(body: bytes, data: st.DataObject) -> None:
    value = bytearray(SEAL.close("n", body))
    place = data.draw(st.integers(0, len(value) - 1))
    value[place] ^= data.draw(st.integers(1, 255))
    assert SEAL.open("n", bytes(value)) is None


@given(st.binary(max_size=100))
def test_garbage_does_not_open(value: bytes) -> None:
    assert SEAL.open("n", value) is None


def test_cut_short_or_longer_does_not_open() -> None:
    value = SEAL.close("n", b"body")
    for other in (*(value[:size] for size in range(len(value))), value + b"x"):
        assert SEAL.open("n", other) is None


def test_another_name_schema_or_secret_does_not_open() -> None:
    value = SEAL.close("n", b"body")
    assert SEAL.open("m", value) is None
    assert Seal(b"secret", schema=b"s2").open("n", value) is None
    assert Seal(b"other", schema=b"s1").open("n", value) is None
