"""What cannot be sent is refused here, naming the field; unknown values of newer servers are not."""

import pytest

from qdts.errors import InvalidRequest
from qdts.models.document import Document
from qdts.service.client.messages import Request, from_proto, to_proto
from qdts.v1 import summarization_pb2 as pb


@pytest.mark.parametrize(
    ("request_", "field", "problem"),
    [
        (Request(query="a\ud800", document="d"), "query", "lone surrogate at character 1"),
        (Request(query="q", document="\udfff"), "document.text", "lone surrogate at character 0"),
        (Request(query="q", document=Document(text="d", title="\ud83d")), "document.title", "lone surrogate"),
        (Request(query="q", document="d", max_words=-1), "options.max_words", "-1 is not in [0, 2147483647]"),
        (Request(query="q", document="d", max_words=2**31), "options.max_words", "2147483648"),
        (Request(query="q", document="d", tier="slow"), "options.tier", "auto, fast, generative, best"),  # type: ignore[arg-type]
    ],
)
def test_names_the_field_that_cannot_be_sent(request_: Request, field: str, problem: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        to_proto(request_)
    assert caught.value.field == field
    assert problem in caught.value.problem


def test_text_of_any_script_is_sent_as_it_is() -> None:
    text = "العربية 中文 😀 \u200b\x00"
    assert to_proto(Request(query=text, document=text)).document.text == text


def test_an_unknown_enum_value_is_kept_as_a_number() -> None:
    message = pb.SummarizeResponse.FromString(pb.SummarizeResponse(summary="s").SerializeToString() + b"\x20\x63")
    assert from_proto(message).rung == "unrecognized_99"


def test_every_option_default_is_known_to_the_proto() -> None:
    options = to_proto(Request(query="q", document="d")).options
    assert (options.tier, options.view) == (pb.TIER_AUTO, pb.VIEW_FULL)
    assert (options.priority, options.cache_policy) == (pb.PRIORITY_INTERACTIVE, pb.CACHE_POLICY_DEFAULT)
