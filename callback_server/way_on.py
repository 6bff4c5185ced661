"""Who looks at a page, and where they go on from one that has no other way. Pure."""

from dataclasses import dataclass

LONGEST_USER = (28, 16)
"""Characters of the beginning and of the end of a name, at the top of a page. A name may have 1,024."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who looks, at the top of every page."""

    user: str
    sign_out_path: str
    sign_out_token: str

    @property
    def short_user(self) -> str:
        """The name as two lines of a phone can hold it; both ends tell people apart. The first page has it whole."""
        begins, ends = LONGEST_USER
        return self.user if len(self.user) <= begins + ends + 1 else f"{self.user[:begins]}…{self.user[-ends:]}"


@dataclass(frozen=True, slots=True)
class WayOn:
    """Where whoever signed in goes on from a page that has no other way."""

    path: str
    label: str
    account: Account | None = None
    """None: nobody has signed in yet."""
