"""How pages look and speak: the language of whoever reads, with the installation's words, logo and colours."""

from base64 import b64encode
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from callback_server.language import ENGLISH, LANGUAGES, Texts, placeholders, texts_in
from callback_server.security import style_source
from datasource.process.branding import Branding, on_colour
from datasource.process.settings import InvalidSettings

_TEMPLATES = Path(__file__).with_name("templates")
_STYLE = (_TEMPLATES / "style.css").read_text()
_ICON = "data:image/svg+xml;base64," + b64encode((_TEMPLATES / "icon.svg").read_bytes().strip()).decode()
"""Of the tab. In the page, as all of it is: a request of its own would find nothing below the path of another app."""

LARGEST_ICON = 16 * 1024
"""Characters of a logo that is the icon of the tab, too: then it is in every page twice."""


@dataclass(frozen=True, slots=True)
class Presentation:
    """What every page of one language is made with."""

    language: str
    texts: Texts
    style: str
    logo: str = ""
    icon: str = _ICON

    @property
    def style_source(self) -> str:
        """What the CSP allows."""
        return style_source(self.style)


def presentations(branding: Branding) -> Mapping[str, Presentation]:
    """One for each language.

    Raises:
        InvalidSettings: a text of the installation's own is for no page, or misses a value.
    """
    style = _STYLE + _colours(branding)
    unknown = branding.texts.keys() - set(LANGUAGES)
    if unknown:
        found, known = ", ".join(sorted(unknown)), ", ".join(LANGUAGES)
        raise InvalidSettings(f"DATASOURCE_TEXTS has the languages {found}; there are {known}.")
    return {
        language: Presentation(
            language, _texts(language, branding.texts.get(language, {})), style, branding.logo, _icon(branding)
        )
        for language in LANGUAGES
    }


def _icon(branding: Branding) -> str:
    return branding.logo if 0 < len(branding.logo) <= LARGEST_ICON else _ICON


def _texts(language: str, own: Mapping[str, str]) -> Texts:
    texts = dict(texts_in(language))
    for key, text in own.items():
        if key not in texts:
            raise InvalidSettings(
                f"DATASOURCE_TEXTS has the unknown key {key!r} in {language}; docs/admin.md has the keys."
            )
        if _placeholders(key, text) != placeholders(texts[key]):
            wanted = ", ".join(f"{{{name}}}" for name in sorted(placeholders(texts[key]))) or "no values"
            raise InvalidSettings(f"DATASOURCE_TEXTS must have {wanted} in {key} in {language}, and no other.")
        texts[key] = text
    return texts


def _placeholders(key: str, text: str) -> frozenset[str]:
    try:
        return placeholders(text)
    except ValueError as error:
        raise InvalidSettings(f"DATASOURCE_TEXTS cannot be used in {key}: {error}.") from None


def _colours(branding: Branding) -> str:
    """Settings are checked: nothing but six digits comes this far."""
    light = _accent(branding.accent) if branding.accent else ""
    dark = (
        f"@media (prefers-color-scheme: dark) {{ {_accent(branding.accent_dark)} }}\n" if branding.accent_dark else ""
    )
    if light and not dark:
        # The delivered one fits dark pages; an installation's colour for light pages may not.
        dark = f"@media (prefers-color-scheme: dark) {{ {_accent(_DELIVERED_DARK)} }}\n"
    return light + dark


_DELIVERED_DARK = "#7db3ff"


def _accent(colour: str) -> str:
    return f":root {{ --accent: {colour}; --on-accent: {on_colour(colour)}; }}\n"


DELIVERED = presentations(Branding())

PRESENTATION: ContextVar[Presentation] = ContextVar("PRESENTATION", default=DELIVERED[ENGLISH])
"""That of the request which is being answered."""
