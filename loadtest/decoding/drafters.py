"""The drafters that are compared, by name.

none: token by token, plain greedy · pieces: the copy constraint's own drafts · gated: the same, let through by the
measured costs of a step, as served · copy: a suffix automaton over the prompt · trie: what earlier replies said ·
jacobi: the net's own n-grams · combined: copy, trie and jacobi in one tree. All under the copy constraint.
"""

from collections.abc import Callable

from qdts.models.copy_source import piece_drafter
from qdts.models.decoding.copying import CopyState
from qdts.models.decoding.drafting.base import Drafter, NoDrafter
from qdts.models.decoding.drafting.combined import CombinedDrafter
from qdts.models.decoding.drafting.copying import CopyDrafter
from qdts.models.decoding.drafting.jacobi import JacobiDrafter
from qdts.models.decoding.drafting.trie import OutputTrie, TrieDrafter
from qdts.models.prompt import Prompt

PLAIN, GATED = "none", "gated"
Make = Callable[[Prompt, CopyState], Drafter]


def drafters() -> dict[str, Make]:
    """By name; those of one call share a trie."""
    trie = OutputTrie()

    def copying(prompt: Prompt) -> Drafter:
        return CopyDrafter([prompt.prefix.tolist(), prompt.encoder_ids.tolist()], min_match=1, per_match=64)

    def jacobi(prompt: Prompt) -> Drafter:
        return JacobiDrafter(prompt.encoder_ids.tolist(), window=5, ngram=4, candidates=5)

    return {
        PLAIN: lambda prompt, state: NoDrafter(),
        GATED: piece_drafter,
        "pieces": piece_drafter,
        "copy": lambda prompt, state: copying(prompt),
        "trie": lambda prompt, state: TrieDrafter(trie),
        "jacobi": lambda prompt, state: jacobi(prompt),
        "combined": lambda prompt, state: CombinedDrafter([copying(prompt), TrieDrafter(trie), jacobi(prompt)]),
    }
