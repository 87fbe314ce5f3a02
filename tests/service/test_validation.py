"""Whatever bytes come: a request within all bounds, or InvalidRequest that quotes none of them."""

from hypothesis import given, settings
from hypothesis import strategies as st

from qdts.errors import InvalidRequest
from qdts.service.limits import Limits
from qdts.service.validation import read_request
from qdts.v1 import summarization_pb2 as pb

LIMITS = Limits(max_query_chars=40, max_document_chars=200)
TEXT = st.text(max_size=60)

requests = st.builds(
    lambda query, text, title, language, numbers: pb.SummarizeRequest(
        query=query,
        document=pb.Document(text=text, title=title, language_code=language),
        options=pb.SummarizeOptions(
            max_words=numbers[0],
            view=numbers[1],
            priority=numbers[2],
            tier=numbers[3],
            cache_policy=numbers[4],
        ),
    ),
    TEXT,
    st.text(max_size=250),
    TEXT,
    st.one_of(st.just(""), st.just("en"), st.text(max_size=40)),
    st.tuples(*([st.one_of(st.integers(0, 5), st.integers(-(2**31), 2**31 - 1))] * 5)),
)


@settings(max_examples=300, deadline=None)
@given(requests)
def test_bounds_hold_for_whatever_is_accepted(message: pb.SummarizeRequest) -> None:
    try:
        request = read_request(message, LIMITS)
    except InvalidRequest as error:
        assert error.field and error.problem
        return
    assert 0 < len(request.query) <= LIMITS.max_query_chars * 3  # normal form C may lengthen, by at most three
    assert len(request.document.text) == len(message.document.text) <= LIMITS.max_document_chars
    assert LIMITS.min_words <= request.max_words <= LIMITS.max_words
    assert "\x00" not in request.document.text


def test_every_character_but_controls_stays_in_its_place() -> None:
    text = "a\tb\nc\rd\x00e\x0bf\x85g\u200bh\U0001f600i"
    message = pb.SummarizeRequest(query="q", document=pb.Document(text=text))
    assert read_request(message, LIMITS).document.text == "a\tb\nc\rd e f g\u200bh\U0001f600i"


def test_queries_that_look_the_same_are_the_same() -> None:
    def read(query: str) -> str:
        return read_request(pb.SummarizeRequest(query=query, document=pb.Document(text="t")), LIMITS).query

    assert read("  caf\u00e9\t\n bar ") == read("cafe\u0301 bar") == "caf\u00e9 bar"
