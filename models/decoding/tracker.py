"""Whether a draft was right, told by what was written, not by verification: what a gate holds back is judged, too.

Greedy decoding writes the same tokens whether a draft is verified or not. So a gate that has closed learns at no cost
that drafts have become right, and needs no trial. (But a drafter that gets better only by being verified, as jacobi
does, stays as it is.)
"""

from collections.abc import Sequence
from typing import Protocol

from qdts.models.decoding.drafting.draft import ROOT, Draft, Odds


class Learner(Protocol):
    """What is told how drafts turn out."""

    def learn(self, odds: Odds, depth: int, is_right: bool) -> None:
        """Of a draft whose first `depth` tokens were right, the next one was, or was not."""
        ...


class DraftTracker:
    """Follows one draft of a sequence at a time, over several steps if need be, until it is wrong or at its end.

    A draft made meanwhile is not followed: it says what the one before said.
    """

    def __init__(self) -> None:
        self._draft = Draft()
        self._children = self._draft.children()
        self._node = ROOT
        self._depth = 0

    def watch(self, draft: Draft) -> None:
        """This is guessed to come next."""
        if not self._children[self._node]:
            self._draft, self._children = draft, draft.children()
            self._node, self._depth = ROOT, 0

    def follow(self, tokens: Sequence[int], learner: Learner) -> None:
        """These were written."""
        for token in tokens:
            guesses = self._children[self._node]
            if not guesses:
                return
            self._node = next((guess for guess in guesses if self._draft.tokens[guess] == token), ROOT)
            learner.learn(self._draft.odds, self._depth, self._node != ROOT)
            self._depth += 1
            if self._node == ROOT:
                self._children = Draft().children()
