"""Texts as a reader would have them: no control characters, no broken encodings, no remnants of HTML.

The same function cleans a document and its reference, so that what was verbatim stays verbatim. It knows nothing
of rows; `filters.py` says which rows to drop.
"""

import html
import re
import unicodedata

# Everything Unicode calls control or format but line breaks and tabs; soft hyphens and zero-width spaces are
# among the formats. Joiners (U+200C, U+200D) shape letters of some scripts and stay.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
# UTF-8 read as Windows-1252: a lead byte's letter, then letters of continuation bytes.
_MOJIBAKE = re.compile(r"[ÂÃâÅðÐ][\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]{1,3}")
_ENTITY = re.compile(r"&(?:[a-zA-Z]{2,8}\d?|#\d{2,6}|#x[0-9a-fA-F]{2,5});")
# Only tags of HTML: "<string>" and "List<T>" are text in pages about programming.
_TAG = re.compile(
    r"</?(?:a|abbr|b|big|blockquote|br|caption|center|cite|code|dd|div|dl|dt|em|font|h[1-6]|hr|i|img|kbd|li|nowiki|ol|p|pre|"
    r"ref|s|small|span|strong|sub|sup|table|tbody|td|tfoot|th|thead|tr|u|ul)(?:\s[^<>\n]{0,400})?/?>",
    re.IGNORECASE,
)
_ATTRIBUTES = re.compile(r"\{:[^{}\n]{0,80}\}")
# What is left of a formula or a pronunciation that an earlier conversion took out.
_EMPTY = re.compile(r" ?\(\s*[,;:]?\s*\)| ?\[\s*\]")
_SPACES = re.compile(r"[ \t\u00a0\u2000-\u200a\u202f\u3000]+")
_GAPS = re.compile(r" ?\n(?:[ \t]*\n){2,}")


def clean_text(text: str) -> str:
    """`text` in NFC with its remnants removed or repaired and repeated lines once; clean text comes back as it is."""
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    if "&" in text:
        text = _ENTITY.sub(lambda match: html.unescape(match.group()), text)
    if "<" in text:
        text = _TAG.sub(" ", text)
    text = _MOJIBAKE.sub(lambda match: _repaired(match.group()), text)
    text = _EMPTY.sub("", _ATTRIBUTES.sub("", _CONTROL.sub("", text)))
    return _without_repeats(_GAPS.sub("\n\n", _SPACES.sub(" ", text))).strip()


def _repaired(letters: str) -> str:
    """The characters whose UTF-8 bytes were read as `letters`; `letters` where they are what they seem to be."""
    try:
        return bytes(_byte(letter) for letter in letters).decode("utf-8")
    except (UnicodeDecodeError, UnicodeEncodeError):
        return letters


def _byte(letter: str) -> int:
    return ord(letter) if ord(letter) < 0x100 else letter.encode("cp1252")[0]


def _without_repeats(text: str) -> str:
    """A line that repeats the line before it, blank ones aside, goes."""
    lines: list[str] = []
    last = ""
    for line in text.split("\n"):
        key = line.strip()
        if key and key == last:
            continue
        lines.append(line)
        last = key or last
    return "\n".join(lines)


def repeated_share(text: str) -> float:
    """The share of lines that stood before in the text, blank ones aside."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    return (len(lines) - len(set(lines))) / max(1, len(lines))


def broken_share(text: str) -> float:
    """The share of characters that no repair brings back: U+FFFD, private use, unassigned."""
    if text.isascii():
        return 0.0
    return sum(unicodedata.category(char) in ("Cn", "Co") or char == "\ufffd" for char in text) / len(text)
