"""What the page tells the person who consents: who asks for what, for which app, where. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from callback_server.language import Ability, text
from callback_server.situation import Situation
from datasource.api.spec import OAuth2
from datasource.outbound.printable import printable
from datasource.process.branding import Branding

OPENID_CONNECT = {
    "openid": "see which account is yours",
    "email": "read your e-mail address",
    "profile": "read your name and profile",
    "address": "read your postal address",
    "phone": "read your phone number",
    "groups": "see your groups",
    "offline_access": "keep this access while you are away",
}
"""What the scopes of OpenID Connect mean (Core, sections 5.4 and 11); groups is no standard, and means the same everywhere."""

MOST_SHOWN = 4
"""Abilities that stand above the button; the technical details list every scope."""

_ACCOUNTS = ("email", "preferred_username", "upn")
"""Claims in which people know their own account."""


@dataclass(frozen=True, slots=True)
class Consent:
    """The request as a person understands it."""

    situation: Situation
    branding: Branding
    authorize_host: str

    @property
    def owner(self) -> str:
        """Who asks."""
        namespace = self.situation.namespace
        return _line(self.situation.spec.display.owner) or text("dialog.owner", namespace=namespace)

    @property
    def owner_within(self) -> str:
        """The same within a sentence, which begins with no capital where the words are ours."""
        namespace = self.situation.namespace
        return _line(self.situation.spec.display.owner) or text("dialog.owner_within", namespace=namespace)

    @property
    def app(self) -> str:
        """What the access is for."""
        return _line(self.situation.spec.display.title) or self.situation.name

    @property
    def service(self) -> str:
        """What is to be connected."""
        preset = self.situation.oauth2.preset
        return self.authorize_host or text("dialog.a_service") if preset is None else preset.title

    @property
    def named_service(self) -> str:
        """The same after it was named once: "the service" where it has no name."""
        preset = self.situation.oauth2.preset
        return self.authorize_host or text("done.the_service") if preset is None else preset.title

    @property
    def where(self) -> str:
        """Which cluster; empty where the installation has no name for it."""
        return self.branding.cluster_name

    @property
    def purpose(self) -> str:
        """What for, in the words of whoever asks."""
        return _line(self.situation.spec.display.purpose)

    @property
    def contact(self) -> str:
        """Whom to ask, as the one who asks says it."""
        return _line(self.situation.spec.display.contact)

    @property
    def expected(self) -> tuple[tuple[str, str], ...]:
        """Who may consent: claims and values, an address for e-mail first."""
        identity = self.situation.oauth2.expanded().expected_identity
        return tuple(
            sorted(((claim, _line(value)) for claim, value in identity.items()), key=lambda each: each[0] != "email")
        )

    @property
    def account(self) -> str | None:
        """The account to sign in with, where the one who is expected has an address."""
        return expected_account(self.situation.oauth2.expanded().expected_identity)

    @property
    def can_choose_account(self) -> bool:
        """Whether the service is known to let a person choose, where single sign-on would take the one who is signed in."""
        return bool(other_account(self.situation.oauth2))

    @property
    def abilities(self) -> tuple[str, ...]:
        """What the app will be able to do, as far as that is known, the most telling first."""
        return tuple(self._known())[:MOST_SHOWN]

    @property
    def others(self) -> tuple[str, ...]:
        """Scopes that only the service can explain."""
        known = self._texts
        return tuple(_line(scope) for scope in self.situation.oauth2.expanded().scopes if scope not in known)[
            :MOST_SHOWN
        ]

    @property
    def more(self) -> int:
        """How many scopes there are beside these."""
        return len(self.situation.oauth2.expanded().scopes) - len(self.abilities) - len(self.others)

    @property
    def _texts(self) -> dict[str, str]:
        preset = self.situation.oauth2.preset
        return OPENID_CONNECT | ({} if preset is None else preset.scope_texts)

    def said_of(self, scopes: Sequence[str]) -> tuple[str, ...]:
        """What scopes mean, and last the names of those that only the service can explain."""
        texts = self._texts
        known = (Ability(texts[scope]) for scope in scopes if scope in texts)
        others = ", ".join(_line(scope) for scope in scopes if scope not in texts)
        named = (text("done.other_scopes", service=self.named_service, scopes=others),) if others else ()
        return (*known, *named)

    def _known(self) -> Iterator[str]:
        texts = self._texts
        scopes = [scope for scope in self.situation.oauth2.expanded().scopes if scope in texts]
        # What every sign-in asks for is told last.
        for scope in sorted(scopes, key=lambda scope: scope in OPENID_CONNECT):
            yield Ability(texts[scope])


def expected_account(identity: dict[str, str]) -> str | None:
    """The address of the account that spec.oauth2.expectedIdentity names, if it is one for e-mail."""
    named = (identity.get(claim, "") for claim in _ACCOUNTS)
    return next((value for value in named if _is_address(value)), None)


def other_account(oauth2: OAuth2) -> dict[str, str]:
    """The parameters with which the service lets a person choose the account; empty where none are known, or where the spec
    says itself what one of them is."""
    known = {} if oauth2.preset is None else oauth2.preset.other_account
    return {} if known.keys() & oauth2.authorize_parameters.keys() else known


def _is_address(text: str) -> bool:
    user, at, host = text.partition("@")
    return bool(user and at and "." in host and "@" not in host and text.isprintable() and " " not in text)


def _line(text: str) -> str:
    """The schema lets nothing else in; what an older one let in is made fit."""
    return printable(text.strip())
