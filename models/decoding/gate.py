"""How much of a draft is worth verifying, by what a step costs here and how often drafts have been right.

Verifying is not free: where the batch already fills the machine, each drafted token costs its share. So the gate asks
the measured costs, and the more sequences there are, the less it lets through.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from qdts.models.decoding.costs import StepCosts
from qdts.models.decoding.drafting.draft import Draft, Odds

_MAX_DEPTH = 64
# A new observation's weight in the running shares
_PACE = 0.02
_LEAST_MS = 1e-3


@dataclass(frozen=True, slots=True)
class Offer:
    """What one sequence brings to a step: its pending tokens, and a draft to verify with them."""

    num_pending: int
    draft: Draft


class DraftGate:
    """Knows the costs of one runtime; learns from every step. One thread at a time."""

    def __init__(self, costs: StepCosts, *, opening_share: float = 0.7, free_share: float = 0.5) -> None:
        self._costs = costs
        # How often a guess that could wait was right from its first token on
        self._opening_share = opening_share
        # How often the first k tokens of a draft were all right; at first, falling geometrically
        self._free_shares = [free_share**k for k in range(1, _MAX_DEPTH + 1)]

    def limits(self, offers: Sequence[Offer]) -> list[int]:
        """For each sequence, how many tokens of its draft are to be verified in this step."""
        width = max(offer.num_pending + _num_sure(offer) for offer in offers)
        openings = self._opens(offers, width)
        free = self._free_limit(offers, width)
        return [
            {Odds.SURE: len(offer.draft), Odds.CAN_WAIT: len(offer.draft) if openings else 0}.get(
                offer.draft.odds, min(free, len(offer.draft))
            )
            for offer in offers
        ]

    def _opens(self, offers: Sequence[Offer], width: int) -> bool:
        """Guesses that can wait: verified in the next step, they cost that step; verified now, they widen this one, and
        save the next if they are right."""
        lengths = [len(offer.draft) for offer in offers if offer.draft.odds == Odds.CAN_WAIT]
        if not lengths:
            return False
        wider = max(offer.num_pending + len(offer.draft) for offer in offers)
        now = self._costs.step_ms(len(offers), max(width, wider)) - self._costs.step_ms(len(offers), width)
        later = self._costs.step_ms(len(offers), max(lengths))
        return now <= self._opening_share * later

    def _free_limit(self, offers: Sequence[Offer], width: int) -> int:
        """The number of tokens that brings most expected ones per millisecond."""
        free = [offer for offer in offers if offer.draft.odds == Odds.OPEN]
        best, best_rate = 0, len(offers) / self._step_ms(len(offers), width)
        for limit in range(1, min(_MAX_DEPTH, max((len(offer.draft) for offer in free), default=0)) + 1):
            taken = [min(limit, len(offer.draft)) for offer in free]
            gained = sum(sum(self._free_shares[:number]) for number in taken)
            wider = max(offer.num_pending + number for offer, number in zip(free, taken, strict=True))
            rate = (len(offers) + gained) / self._step_ms(len(offers), max(width, wider))
            if rate > best_rate:
                best, best_rate = limit, rate
        return best

    def _step_ms(self, batch_size: int, width: int) -> float:
        """Above 0: beyond what was measured, noise may have a wider step cost nothing."""
        return max(self._costs.step_ms(batch_size, width), _LEAST_MS)

    def learn(self, draft: Draft, num_accepted: int) -> None:
        """What came of a draft of which at least one token was verified."""
        if not len(draft) or draft.odds == Odds.SURE:
            return
        if draft.odds == Odds.CAN_WAIT:
            self._opening_share += _PACE * (bool(num_accepted) - self._opening_share)
            return
        for depth in range(min(len(draft), _MAX_DEPTH)):
            self._free_shares[depth] += _PACE * ((num_accepted > depth) - self._free_shares[depth])


def _num_sure(offer: Offer) -> int:
    return len(offer.draft) if offer.draft.odds == Odds.SURE else 0
