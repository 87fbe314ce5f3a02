"""What a policy earns on rows it was not trained on, and how two policies compare. Knows nothing of training."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import mean
from typing import Any

from qdts.models.copy_source import copy_state
from qdts.models.evaluation.bootstrap import mean_score
from qdts.models.nets.t5 import T5
from qdts.models.training.candidates import Candidates, Proposer, chunked
from qdts.models.training.policy import collate_walks, option_log_probs, summary_divergences, walk
from qdts.models.training.preference_rows import PreferenceRow
from qdts.models.training.sampling import evaluating

_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one policy wrote for some rows; `divergences` from a reference, row by row, where there was one."""

    found: tuple[Candidates, ...]
    divergences: tuple[float, ...] = ()


def measure(proposer: Proposer, rows: Sequence[PreferenceRow], chunk: int, *, reference: T5 | None = None) -> Measured:
    """Greedy and sampled summaries of each row, `chunk` rows at a time, judged.

    With `reference`, KL(policy || reference) of each row, estimated on the policy's own samples, which must have been
    drawn at temperature 1 from the whole distribution.
    """
    found: list[Candidates] = []
    divergences: list[float] = []
    for group in chunked(rows, chunk):
        proposed = proposer.propose(group)
        found += proposed
        if reference is not None:
            divergences += _divergences(proposer, reference, group, proposed)
    return Measured(found=tuple(found), divergences=tuple(divergences))


def _divergences(
    proposer: Proposer, reference: T5, rows: Sequence[PreferenceRow], found: Sequence[Candidates]
) -> list[float]:
    prompts = [proposer.prompt(row) for row in rows]
    states = [copy_state(prompt, trims=proposer.trims) for prompt in prompts]
    walks = [[walk(s, one.tokens) for one in group.candidates] for s, group in zip(states, found, strict=True)]
    batch = collate_walks(prompts, walks)
    with evaluating(proposer.net), evaluating(reference):
        ours, theirs = option_log_probs(proposer.net, batch), option_log_probs(reference, batch)
        values = iter(summary_divergences(batch, ours, theirs).tolist())
    return [_mean_over_draws(group, [next(values) for _ in group.candidates]) for group in found]


def _mean_over_draws(group: Candidates, values: Sequence[float]) -> float:
    counts = [candidate.num_draws for candidate in group.candidates]
    return sum(count * value for count, value in zip(counts, values, strict=True)) / sum(counts)


def compare(old: Measured, new: Measured) -> dict[str, Any]:
    """Rewards before and after, with 95 % intervals; win rate of the new greedy summaries (ties half); KL."""
    pairs = list(zip(old.found, new.found, strict=True))
    assert all(before.key == after.key for before, after in pairs), "both measured the same rows"
    return {
        "num_prompts": len(pairs),
        "reward_before": _score([before.greedy.reward for before, _ in pairs]),
        "reward_after": _score([after.greedy.reward for _, after in pairs]),
        "reward_gain": _score([after.greedy.reward - before.greedy.reward for before, after in pairs]),
        "sampled_reward_before": _score([before.mean_reward for before, _ in pairs]),
        "sampled_reward_after": _score([after.mean_reward for _, after in pairs]),
        "sampled_reward_gain": _score([after.mean_reward - before.mean_reward for before, after in pairs]),
        "win_rate": mean(_win(before.greedy.reward, after.greedy.reward) for before, after in pairs),
        "changed": mean(float(before.greedy.tokens != after.greedy.tokens) for before, after in pairs),
        "kl": mean(new.divergences) if new.divergences else None,
        "words_before": mean(before.greedy.num_words for before, _ in pairs),
        "words_after": mean(after.greedy.num_words for _, after in pairs),
        "parts_before": _parts(old.found),
        "parts_after": _parts(new.found),
    }


def _win(before: float, after: float) -> float:
    return 0.5 if after == before else float(after > before)


def _score(values: Sequence[float]) -> dict[str, float]:
    return asdict(mean_score(values, _SEED))


def _parts(found: Sequence[Candidates]) -> dict[str, float]:
    """The mean of each part over the greedy summaries to which it applies."""
    names = dict.fromkeys(name for group in found for name in group.greedy.parts)
    return {name: mean(g.greedy.parts[name] for g in found if name in g.greedy.parts) for name in names}
