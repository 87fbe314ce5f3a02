"""The domain's enums carry the proto's numbers and names."""

from enum import IntEnum
from typing import Any

import pytest

from qdts.service.reply import CacheStatus, DegradeReason, Rung
from qdts.service.request import CachePolicy, Priority, Tier, View
from qdts.v1 import summarization_pb2 as pb


@pytest.mark.parametrize(
    ("ours", "proto", "prefix"),
    [
        (View, pb.View, "VIEW_"),
        (Priority, pb.Priority, "PRIORITY_"),
        (Tier, pb.Tier, "TIER_"),
        (CachePolicy, pb.CachePolicy, "CACHE_POLICY_"),
        (Rung, pb.Rung, "RUNG_"),
        (DegradeReason, pb.DegradeReason, "DEGRADE_REASON_"),
        (CacheStatus, pb.CacheStatus, "CACHE_STATUS_"),
    ],
)
def test_enums_are_the_protos(ours: type[IntEnum], proto: Any, prefix: str) -> None:
    expected = {name.removeprefix(prefix): number for name, number in proto.items() if number}
    assert {member.name: member.value for member in ours} == expected
