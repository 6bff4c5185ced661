"""Text of strangers, made fit to be shown."""

_TEXT_LENGTH = 300


def printable(text: str, most: int = _TEXT_LENGTH) -> str:
    """What a stranger sent, fit for a line of a log or page: no control characters, not too long. Escaping is the page's."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    return shown if len(shown) <= most else shown[:most] + "..."


def sentence(text: str) -> str:
    """The same with one full stop at its end, or the question mark that it has: a sentence of ours may follow."""
    ended = text.rstrip().rstrip(".")
    return ended if ended.endswith(("?", "!")) else f"{ended}."
