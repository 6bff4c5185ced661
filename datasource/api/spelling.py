"""Pure: how the fields of the API are spelled in YAML."""

_UPPER = frozenset({"id", "url", "uri"})


def spelled(name: str) -> str:
    """A field's name in YAML: `client_id` is clientID, `authorize_url` authorizeURL, `token_secret` tokenSecret."""
    first, *rest = name.split("_")
    return first + "".join(word.upper() if word in _UPPER else word.capitalize() for word in rest)
