"""How people type: topics and headings as queries, in lower case, as keywords, at times with a slip of a finger.

Knows no documents. Everything is drawn from the `rng` it is given.
"""

import random
import re

from qdts.models.training.data.config import WeakConfig

_TOPIC_FORMS = (
    *(
        "{x}",
        "{x}",
        "{x}",
        "what is {x}",
        "what is {x}?",
        "What is {x}?",
        "{x} definition",
        "{x} meaning",
        "define {x}",
    ),
    *("{x} explained", "about {x}", "tell me about {x}", "{x} overview", "{x} summary", "introduction to {x}"),
)
_DEFINITION_FORMS = (
    *(
        "what is {x}",
        "what is {x}?",
        "What is {x}?",
        "what does {x} mean",
        "{x} definition",
        "define {x}",
        "{x} meaning",
    ),
    *("definition of {x}", "meaning of {x}", "{x}", "what {x} is", "explain {x}"),
)
_NAME_FORMS = ("{x}", "about {x}", "tell me about {x}", "who or what is {x}?", "{x} facts")
_PART_FORMS = (
    *("{t} {h}", "{h} {t}", "{h} of {t}", "what is the {h} of {t}", "{t}: {h}", "{h} in {t}", "{h} for {t}"),
    *("{t} - {h}", "tell me about {h} of {t}", "What about {h} in {t}?"),
)
_HOW_FORMS = ("how to {x}", "how to {x}", "how do I {x}?", "How do I {x}?", "how can I {x}", "steps to {x}", "{x}")
# Gerunds that open headings, with the verb that English spelling hides in them.
_VERBS = {
    gerund: verb
    for verb, gerund in (
        pair.split(":")
        for pair in (
            "add:adding apply:applying assign:assigning build:building change:changing check:checking "
            "choose:choosing compile:compiling configure:configuring connect:connecting convert:converting "
            "copy:copying create:creating customize:customizing debug:debugging define:defining delete:deleting "
            "deploy:deploying design:designing detect:detecting determine:determining disable:disabling "
            "download:downloading edit:editing enable:enabling export:exporting find:finding get:getting "
            "handle:handling implement:implementing import:importing improve:improving install:installing "
            "manage:managing measure:measuring migrate:migrating modify:modifying monitor:monitoring move:moving "
            "open:opening prepare:preparing prevent:preventing print:printing read:reading register:registering "
            "remove:removing replace:replacing restore:restoring run:running save:saving select:selecting "
            "send:sending set:setting share:sharing start:starting stop:stopping test:testing track:tracking "
            "troubleshoot:troubleshooting understand:understanding uninstall:uninstalling update:updating "
            "upgrade:upgrading use:using validate:validating verify:verifying view:viewing work:working "
            "write:writing"
        ).split()
    )
}
_IMPERATIVES = frozenset(_VERBS.values())
# "What is (are) X??" is how forms write, not people.
_OPTIONAL = re.compile(r" \((?:are|is|s)\)")
_REPEATED_MARK = re.compile(r"\?{2,}")
_LONG_WORD = re.compile(r"[A-Za-z]{5,}")


def topic_query(topic: str, rng: random.Random) -> str:
    """A query for what a page is about."""
    if how := _how_query(topic, rng):
        return how
    return topic if topic.endswith("?") else rng.choice(_TOPIC_FORMS).format(x=topic)


def definition_query(term: str, rng: random.Random) -> str:
    """A query for what a term means; a name of several words may be a person's."""
    is_name = term.istitle() and " " in term
    return rng.choice(_NAME_FORMS if is_name else _DEFINITION_FORMS).format(x=term)


def part_query(heading: str, title: str, rng: random.Random) -> str:
    """A query for one section of a page; without a title the heading must speak for itself."""
    if heading.endswith("?"):
        return heading
    if how := _how_query(heading, rng):
        return how
    if not title or title.endswith("?") or _names(heading, title):
        return topic_query(heading, rng)
    return rng.choice(_PART_FORMS).format(h=lower_first(heading), t=title)


def _names(heading: str, title: str) -> bool:
    """Does the heading say itself what the page is about, or the title more than a query can hold?"""
    words = {word.lower() for word in title.split()}
    named = words & {word.lower() for word in heading.split()}
    return len(words) > 8 or 2 * len(named) >= len(words)


def _how_query(topic: str, rng: random.Random) -> str:
    """ "Installing fonts" or "Install fonts" as "how to install fonts"; "" for another kind of topic."""
    first, _, rest = topic.partition(" ")
    word = first.lower()
    verb = _VERBS.get(word, word if word in _IMPERATIVES else "")
    return rng.choice(_HOW_FORMS).format(x=f"{verb} {rest}") if verb and rest else ""


def lower_first(text: str) -> str:
    """ "Early life" as "early life", but "NATO" and "Leeds and York" as they are."""
    first, _, rest = text.partition(" ")
    is_plain = first[1:].islower() and not any(word[:1].isupper() for word in rest.split())
    return first.lower() + text[len(first) :] if is_plain or first in ("A", "The") else text


def as_typed(query: str, rng: random.Random, config: WeakConfig) -> str:
    """The query as it may come from a keyboard: lower case and slips at their shares."""
    query = _REPEATED_MARK.sub("?", _OPTIONAL.sub("", " ".join(query.split())))
    if rng.random() < config.lower_share:
        query = query.lower()
        query = query.rstrip("?") if rng.random() < 0.5 else query
    return _with_slip(query, rng) if rng.random() < config.typo_share else query


def _with_slip(query: str, rng: random.Random) -> str:
    """One long word with two letters swapped, or one left out or doubled."""
    words = list(_LONG_WORD.finditer(query))
    if not words:
        return query
    word = rng.choice(words)
    at = rng.randrange(word.start() + 1, word.end() - 1)
    slip = rng.choice((query[at + 1] + query[at], query[at + 1], query[at] * 2 + query[at + 1]))
    return query[:at] + slip + query[at + 2 :]
