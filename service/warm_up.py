"""What a new model is asked before callers may ask it."""

from qdts.errors import WeightsError
from qdts.models.document import Document
from qdts.service.deadline import Deadline
from qdts.service.ladder import Ladder
from qdts.service.request import Request, Tier

WARM_UP_S = 60.0


async def warm_up(ladder: Ladder) -> None:
    """Real requests, on a ladder of their own: what the first ones take is not what later ones will."""
    for tier in (Tier.GENERATIVE, Tier.FAST):
        reply = await ladder.climb(_warm_up_request(tier), Deadline.after(WARM_UP_S))
        if reply.reasons:
            reasons = ", ".join(reason.name.lower() for reason in reply.reasons)
            raise WeightsError(f"the model failed its warm-up request ({reasons}); the log says where")


def _warm_up_request(tier: Tier) -> Request:
    text = (
        "The lighthouse was built in 1874 on the northern cape. Its lamp could be seen for thirty miles. "
        "Keepers lived there until 1981, when the light became automatic."
    )
    return Request(
        query="When was the lighthouse built?",
        document=Document(text=text, title="Lighthouse", language="en"),
        document_sha256="",
        max_words=35,
        tier=tier,
    )
