"""Rule-based splitting of English paragraphs into sentences.

Pre-training text needs sentences only as places where a segment may begin or end, so the rules aim
at speed and at few false breaks: a sentence ends at `.`, `!`, `?` or an ellipsis (with closing
quotes or brackets) before white space and something that can begin a sentence.
"""

from __future__ import annotations

import re

# Group 1: the end marks with what closes behind them; then the gap; then what begins a sentence.
_BOUNDARY = re.compile(
    r"""([.!?\u2026]+["'\u201d\u2019\u00bb)\]_]*)"""
    r"""\s+(?=["'\u201c\u2018\u00ab(\[\u00bf\u00a1_]*[^\W_a-z])"""
)
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
      Its sentences in order. Joined by spaces they are the text again, up to white space.
    """
    sentences = []
    start = 0
    for match in _BOUNDARY.finditer(text):
        if match[1] == "." and _is_abbreviation(text, match.start(), match.end()):
            continue
        sentences.append(text[start : match.end(1)])
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
