"""What an installation may put on the pages: its name, logo, colours and words. Checked when a process starts."""

import base64
import binascii
import re
from collections.abc import Mapping

import msgspec

LONGEST_LOGO = 64 * 1024
"""Characters of the data URI: it is in every page."""

LONGEST_TEXTS = 64 * 1024
LONGEST_TEXT = 2_000

LEAST_CONTRAST = 4.5
"""Of text on what is behind it (WCAG 2.2, 1.4.3)."""

LIGHT_PAPER, DARK_PAPER = "#ffffff", "#1a212b"
"""Behind links and around buttons, as style.css has them."""

WHITE, INK = "#ffffff", "#0b1420"
"""What the text on a button may be."""

_COLOUR = re.compile(r"#[0-9a-f]{6}")
_DATA_URI = re.compile(r"data:image/(png|jpeg|webp|svg\+xml);base64,([A-Za-z0-9+/]+={0,2})")
_BEGINS: Mapping[str, bytes] = {"png": b"\x89PNG\r\n\x1a\n", "jpeg": b"\xff\xd8\xff", "webp": b"RIFF"}


class Unusable(ValueError):
    """A value that the pages cannot use; the text says what it should be."""


class Branding(msgspec.Struct, frozen=True):
    """What the pages say of the installation; empty: nothing."""

    name: str = ""
    cluster_name: str = ""
    support_address: str = ""
    logo: str = ""
    """A data URI."""
    accent: str = ""
    """The colour of buttons and links, such as #1a56a8."""
    accent_dark: str = ""
    """The same where the browser prefers dark pages."""
    texts: Mapping[str, Mapping[str, str]] = {}
    """Words of the installation's own, by language and key."""


def checked_logo(uri: str) -> str:
    """A picture in the URI itself, so that the page fetches nothing.

    Raises:
        Unusable: it is too large, or not such a picture.
    """
    if not uri:
        return ""
    if len(uri) > LONGEST_LOGO:
        raise Unusable(f"must have at most {LONGEST_LOGO} characters; it has {len(uri)}.")
    found = _DATA_URI.fullmatch(uri)
    if found is None:
        raise Unusable("must be a data URI of a picture: data:image/png;base64,... (or jpeg, webp, svg+xml).")
    kind, encoded = found.groups()
    try:
        picture = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise Unusable("must be whole base64 behind the comma; it is cut off, or has a part too much.") from None
    is_picture = picture.startswith(_BEGINS[kind]) if kind in _BEGINS else b"<svg" in picture
    if not is_picture:
        raise Unusable(f"says that it is a picture of the kind {kind}, and what it holds is none.")
    return uri


def checked_colour(colour: str, paper: str) -> str:
    """A colour that can be read as a link on that paper, and behind the text of a button.

    Raises:
        Unusable: it is no colour, or too faint.
    """
    if not colour:
        return ""
    written = colour.lower()
    if not _COLOUR.fullmatch(written):
        raise Unusable(f"must be a colour such as #1a56a8; it is {colour[:40]!r}.")
    if (found := contrast(written, paper)) < LEAST_CONTRAST:
        raise Unusable(
            f"must have a contrast of {LEAST_CONTRAST} to the page ({paper}), for its links; {written} has {found:.1f}."
        )
    return written


def on_colour(colour: str) -> str:
    """White or ink, whichever reads better on a button of that colour: one of the two always does."""
    return max((WHITE, INK), key=lambda text: contrast(colour, text))


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def parse_texts(json: str) -> Mapping[str, Mapping[str, str]]:
    """Texts by language and key, as JSON. Whether there are such texts is for the callback server to say.

    Raises:
        Unusable: it is something else, or too much.
    """
    if not json:
        return {}
    if len(json) > LONGEST_TEXTS:
        raise Unusable(f"must have at most {LONGEST_TEXTS} characters; it has {len(json)}.")
    try:
        texts = msgspec.json.decode(json, type=dict[str, dict[str, str]])
    except (ValueError, msgspec.MsgspecError):
        raise Unusable('must be JSON such as {"de": {"dialog.button": "Verbinden"}}.') from None
    for language, said in texts.items():
        for key, text in said.items():
            if not text.strip() or not text.isprintable() or len(text) > LONGEST_TEXT:
                raise Unusable(
                    f"must have one line of 1 to {LONGEST_TEXT} printable characters for {key} in {language}."
                )
    return texts


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(int(colour[at : at + 2], 16) / 255) for at in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
