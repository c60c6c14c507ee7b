"""Rule-based splitting of English, Chinese and Japanese paragraphs into sentences.

Pre-training text needs sentences only as places where a segment may begin or end, so the rules aim
at speed and at few false breaks: a sentence ends at `.`, `!`, `?` or an ellipsis (with closing
quotes or brackets) before white space and something that can begin a sentence. Chinese and Japanese
need no white space: their full stop and marks end a sentence wherever they stand, and `!`, `?` and
an ellipsis do before one of their characters.
"""

from __future__ import annotations

import re

# Characters of Chinese and Japanese: kana, Han, and those of half width.
_EAST = (
    "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f"
    "\U00020000-\U0003ffff"
)
# Their full stops and marks of full and half width.
_EAST_END = "\u3002\uff61\uff01\uff1f"
# A full stop, too, but not in decimals and initials.
_WIDE_LATIN = "0-9A-Za-z\uff10-\uff19\uff21-\uff3a\uff41-\uff5a"
_WIDE_PERIOD = rf"(?<![{_WIDE_LATIN}])\uff0e|\uff0e(?![{_WIDE_LATIN}])"
# Closing quotes and brackets, and the opening ones.
_EAST_CLOSE = (
    "\"'\u201d\u2019\u00bb\u300d\u300f\uff63\uff09)\u3011\u3009\u300b\u3015\uff3d\\]\uff5d}"
)
_EAST_OPEN = "\u201c\u2018\u300c\u300e\uff62\uff08(\u3010\u3008\u300a\u3014\uff3b"
# What goes on with a sentence: more marks, commas, colons, dashes.
_EAST_MORE = (
    f"{_EAST_END}{_EAST_CLOSE}\uff0e.!?\u2026,;:"
    "\uff0c\u3001\uff64\uff1b\uff1a\u2014\uff5e\u301c\u00b7\u30fb"
)

# The end marks with what closes behind them (group 1); then the gap; then what begins a sentence.
# Marks are looked at from the first of a row on, or a long row would be searched from each.
_ENGLISH = (
    r"""(?<![.!?\u2026])([.!?\u2026]+["'\u201d\u2019\u00bb)\]_]*)"""
    rf"""\s+(?=["'\u201c\u2018\u00ab(\[\u00bf\u00a1_{_EAST_OPEN}]*[^\W_a-z])"""
)
# The same in group 2. A quotation before the particle "to" is part of a Japanese sentence.
_EASTERN = (
    rf"""((?:(?<![{_EAST_END}.!?\u2026])(?:(?=[.!?\u2026]*[{_EAST_END}])[{_EAST_END}.!?\u2026]+"""
    rf"""|[!?\u2026]+(?=[{_EAST_CLOSE}]*\s*[{_EAST_OPEN}]*[{_EAST}]))|{_WIDE_PERIOD})"""
    rf"""(?:[{_EAST_CLOSE}]+(?!\s*(?:\u3068|\u3063\u3066))|(?![{_EAST_CLOSE}])))"""
    rf"""\s*(?=[^\s{_EAST_MORE}])"""
)
_BOUNDARY = re.compile(_ENGLISH)
_BOUNDARY_OF_ANY = re.compile(f"{_ENGLISH}|{_EASTERN}")
_ANY_EAST = re.compile(f"[{_EAST}{_EAST_END}\uff0e]")
_LAST_WORD = re.compile(r"[^\s(\[\"'\u201c\u2018_\u2013\u2014-]*$")

# Never the last word of a sentence, for what they name follows.
_TITLE = re.compile(
    "mrs?|ms|messrs|mme|mlle|dr|prof|rev|fr|hon|st|mt|ft|gen|col|maj|ca?pt|lt|sgt|cmdr|adm|gov|sen|"
    "rep|pres|supt|cf|vs|viz|al",
    re.IGNORECASE,
)
# Part of the sentence if a number follows.
_NUMBERED = re.compile("nos?|pp?|vols?|figs?|ch|chap|sec|art|opp?|ca?|b|d", re.IGNORECASE)
_INITIALS = re.compile(r"[^\W\d_a-z]|[^\W\d_]+(\.[^\W\d_]+)+")
_LONGEST_ABBREVIATION = 12


def split_sentences(text: str) -> list[str]:
    """Splits one paragraph.

    Args:
      text: Text without line breaks that matter.

    Returns:
      Its sentences in order. Together they are the text again, up to white space.
    """
    sentences = []
    start = 0
    is_eastern = not text.isascii() and _ANY_EAST.search(text)
    for match in (_BOUNDARY_OF_ANY if is_eastern else _BOUNDARY).finditer(text):
        if match[1] == "." and _is_abbreviation(text, match.start(), match.end()):
            continue
        sentences.append(text[start : match.end(match.lastindex or 0)])
        start = match.end()
    sentences.append(text[start:])
    return sentences


def _is_abbreviation(text: str, dot: int, following: int) -> bool:
    """Whether the period at `dot` belongs to the word before it: `Dr.`, `J.`, `U.S.`, `No. 5`."""
    match = _LAST_WORD.search(text, max(0, dot - _LONGEST_ABBREVIATION), dot)
    word = match[0] if match else ""
    if _INITIALS.fullmatch(word) or _TITLE.fullmatch(word):
        return True
    return text[following].isdigit() and _NUMBERED.fullmatch(word) is not None
