"""Letters that pass for others: which names no page can tell apart (Unicode, UTS 39). Pure.

A name is of one alphabet (section 5.2, "highly restrictive": letters of Chinese, Japanese and Korean stand beside Latin ones).
That leaves names that are all of letters which look Latin, and letters of phoneticians. Unicode's list of confusable
characters has a few thousand; those here are its letters of alphabets in use, each with a likeness in ASCII.
"""

import unicodedata
from collections.abc import Iterator

_LATIN = "LATIN"
_BESIDE_LATIN = (
    frozenset({_LATIN, "CJK", "HIRAGANA", "KATAKANA"}),
    frozenset({_LATIN, "CJK", "BOPOMOFO"}),
    frozenset({_LATIN, "CJK", "HANGUL"}),
)

_CALLED_OTHERWISE = {"IDEOGRAPHIC": "CJK", "EXTENDED": "ARABIC"}
"""First words of names of characters that name no alphabet: iteration marks, and the digits of Persian and Urdu."""

_LOOK_LATIN = frozenset(
    # Cyrillic,
    "аАВеЕѕЅЗһНіІӏӀјЈКМоОрРԛсСТѵԝԜхХуУүҮԁԌҽЬ"
    # Greek,
    "αΑΒΕϜΗιΙϳͿΚΜϺΝοσΟρΡΤυνΧγΥΖ"
    # Armenian, Georgian, Cherokee and Lisu, and digits of India and Arabia.
    "քցհոռօՕգզՏսՍაჿყᎪᏏᎬᎠᎡᎢᎥᎫᎻᏀᏂᏃᏆᏒᏔᏚᏞᏟᏢᏦᏩᏮᏴᏳᏤꓐꓑꓒꓓꓔꓖꓗꓙꓚꓜꓝꓟꓠꓡꓢꓣꓦꓧꓪꓫꓬꓮꓰꓲꓳꓴ০०૦੦೦౦໐၀๐۱۵۷"
)

_PASS_FOR_LATIN = frozenset("ƄɑᴄɡᶃɪƖǀǁᴏᴑꭇꭈꜱƽꞟᴜꭎꭒᴠᴡᶌʏỿꭚᴢꬲꬵꞙẝꬽƧƼȣȢȜꝚꝪꝮʣʪʫʦ")
"""Latin letters that look like one or two of ASCII: those of phoneticians, and others that hardly any language has."""


def looks_like_others(text: str) -> bool:
    """Whether letters of it pass for others, so that a page shows it as it shows another text, or nearly so."""
    if text.isascii():
        return False
    found = frozenset(_alphabets(text))
    if len(found) > 1 and not any(found <= together for together in _BESIDE_LATIN):
        return True
    if not _PASS_FOR_LATIN.isdisjoint(text):
        return True
    letters = [character for character in text if _is_letter(character)]
    return bool(letters) and _LATIN not in found and _LOOK_LATIN.issuperset(letters)


def _alphabets(text: str) -> Iterator[str]:
    """Those of its letters, and of digits beyond ASCII. Digits of ASCII and signs are of all alphabets."""
    for character in text:
        if _is_letter(character):
            word = unicodedata.name(character, "UNKNOWN").split()[0].partition("-")[0]
            yield _CALLED_OTHERWISE.get(word, word)


def _is_letter(character: str) -> bool:
    kind = unicodedata.category(character)
    # Modifier letters that are apostrophes are of all alphabets, too.
    is_sign = kind == "Lm" and unicodedata.name(character, "").startswith("MODIFIER")
    return (kind[0] == "L" and not is_sign) or (kind[0] == "N" and not character.isascii())
