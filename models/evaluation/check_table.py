"""A card's checks and its figures per set as text for a terminal. Numbers come from card.py."""

from collections.abc import Sequence

from qdts.models.evaluation import metrics
from qdts.models.evaluation.card import MEAN_OF_SETS, Card, Check
from qdts.models.evaluation.tables import Table, to_lines

# What `qdts model show` has room for: ROUGE-L / answer contained / words.
_SHOWN = (metrics.ROUGE_L, metrics.ANSWER_CONTAINED, metrics.WORDS)


def checks_text(checks: Sequence[Check]) -> str:
    """How many numbers hold, and a table of those that do not."""
    failed = [check for check in checks if not check.holds]
    skipped = sum(check.tolerance is None for check in checks)
    counted = f"{len(checks) - len(failed) - skipped} of {len(checks) - skipped} numbers of the card hold"
    verdict = counted + (f"; {skipped} not compared: fewer than 20 rows" if skipped else "")
    return verdict if not failed else f"{verdict}\n{to_lines(_failures(failed))}"


def card_text(card: Card) -> str:
    """ROUGE-L / answer contained / words per system and set, on few lines; "" where there are no figures."""
    by_set = card.get("by_set", {})
    if not card.get("systems"):
        return ""
    sets = list(dict.fromkeys(name for of_system in by_set.values() for name in of_system))
    rows = [
        (system, _cell(means), *(_cell(by_set.get(system, {}).get(name, {})) for name in sets))
        for system, means in card["systems"].items()
    ]
    title = f"{card.get('evaluation', '')} (ROUGE-L / answer contained % / words)"
    return to_lines(Table(title, ("system", MEAN_OF_SETS, *sets), tuple(rows)))


def _failures(failed: Sequence[Check]) -> Table:
    header = ("system", "set", "measure", "card", "found", "difference", "allowed")
    rows = [
        (
            check.system,
            check.set,
            check.measure,
            f"{check.on_card:.4f}",
            f"{check.found:.4f}",
            f"{check.found - check.on_card:+.4f}",
            f"{check.tolerance:.4f}",
        )
        for check in failed
    ]
    return Table("Not as the card says:", header, tuple(rows))


def _cell(means: Card) -> str:
    values = (means.get(name) for name in _SHOWN)
    return "/".join(
        "-" if value is None else f"{value if name == metrics.WORDS else 100 * value:.1f}"
        for name, value in zip(_SHOWN, values, strict=True)
    )
