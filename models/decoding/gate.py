"""How much of a draft is worth verifying, by what a step costs here and how often drafts have been right.

Verifying is not free: where the batch already fills the machine, each drafted token costs its share. So the gate weighs
milliseconds that a wider step costs now against those that right guesses save later, and the more sequences there are,
the less it lets through. All sequences of a process share it; what is learned of one holds for all.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import mul

from qdts.models.decoding.costs import StepCosts
from qdts.models.decoding.drafting.draft import Draft, Odds

_MAX_DEPTH = 64
# A new observation's weight in the running shares: about the last 50 count.
_PACE = 0.02
_WHOLE = sys.maxsize


@dataclass(frozen=True, slots=True)
class Offer:
    """What one sequence brings to a step: its pending tokens, and a draft to verify with them."""

    num_pending: int
    draft: Draft

    def width(self, num_drafted: int) -> int:
        """Tokens of the step if so many of the draft, or all there are, are verified."""
        return self.num_pending + min(num_drafted, len(self.draft))


class DraftGate:
    """Knows the costs of one runtime; told how every draft turned out (tracker.py). One thread at a time."""

    def __init__(self, costs: StepCosts, *, opening_share: float = 0.7, free_share: float = 0.5) -> None:
        self._costs = costs
        # How often a guess that could wait began right
        self._opening_share = opening_share
        # [k]: how often token k of a draft was right where all before it were
        self._free_shares = [free_share] * _MAX_DEPTH

    def step_ms(self, size: int) -> float:
        """What a step of so many sequences takes when each brings one token."""
        return self._costs.step_ms(size, 1)

    def limits(self, offers: Sequence[Offer]) -> list[int]:
        """For each sequence, how many tokens of its draft are to be verified in this step."""
        most = {Odds.SURE: _WHOLE, Odds.CAN_WAIT: 0, Odds.OPEN: 0}
        if self._opens(offers, _width(offers, most)):
            most[Odds.CAN_WAIT] = _WHOLE
        most[Odds.OPEN] = self._free_limit(offers, _width(offers, most))
        return [min(most[offer.draft.odds], len(offer.draft)) for offer in offers]

    def _opens(self, offers: Sequence[Offer], width: int) -> bool:
        """Guesses that can wait: verified in the next step, they make that one wide; verified now, this one, and if
        they are right the next step is narrow, and none of theirs."""
        waiting = [offer for offer in offers if offer.draft.odds == Odds.CAN_WAIT]
        if not waiting:
            return False
        size = len(offers)
        wider = max(width, *(offer.width(_WHOLE) for offer in waiting))
        now = self._costs.step_ms(size, wider) - self._costs.step_ms(size, width)
        later = self._costs.step_ms(size, max(len(offer.draft) for offer in waiting))
        others = (1 - len(waiting) / size) * self._costs.step_ms(size, 1)
        return now <= self._opening_share * (later - others)

    def _free_limit(self, offers: Sequence[Offer], width: int) -> int:
        """The number of tokens that saves most: a right one saves its sequence's part of a step of single tokens."""
        free = [offer for offer in offers if offer.draft.odds == Odds.OPEN and len(offer.draft)]
        longest = min(_MAX_DEPTH, max((len(offer.draft) for offer in free), default=0))
        num_right = [0.0, *accumulate(accumulate(self._free_shares[:longest], mul))]  # expected of the first k
        per_token = self._costs.step_ms(len(offers), 1) / len(offers)

        def saved_ms(limit: int) -> float:
            expected = sum(num_right[min(limit, len(offer.draft))] for offer in free)
            wider = max(width, *(offer.width(limit) for offer in free))
            return per_token * expected - self._costs.step_ms(len(offers), wider)

        return max(range(longest + 1), key=saved_ms) if free else 0

    def learn(self, odds: Odds, depth: int, is_right: bool) -> None:
        """Of a draft whose first `depth` tokens were right, the next one was, or was not."""
        if odds == Odds.CAN_WAIT and depth == 0:
            self._opening_share += _PACE * (is_right - self._opening_share)
        elif odds == Odds.OPEN and depth < _MAX_DEPTH:
            self._free_shares[depth] += _PACE * (is_right - self._free_shares[depth])


def _width(offers: Sequence[Offer], most: dict[Odds, int]) -> int:
    return max(offer.width(most[offer.draft.odds]) for offer in offers)
