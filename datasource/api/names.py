"""Every published name, once: API group, annotations, Secret types, names of Secrets, links."""

import hashlib
import re
from enum import StrEnum
from urllib.parse import quote, urlencode

GROUP = "datasource.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "Datasource"
PLURAL = "datasources"

LONGEST_NAME = 253
"""Characters of the name of an object (RFC 1123)."""

FIELD_MANAGER = "datasource-operator"
CALLBACK_FIELD_MANAGER = "datasource-callback-server"

CREDENTIAL_SUFFIX = "-oauth2-credential"
TOKEN_SUFFIX = "-token"  # noqa: S105 - a name, not a token
IMPORT_SUFFIX = "-oauth2-import"


class SecretType(StrEnum):
    """The immutable `type` of a Secret of ours; list and watch select on it."""

    CREDENTIAL = "datasource.dev/oauth2-credential"
    TOKEN = "datasource.dev/oauth2-token"  # noqa: S105 - a name, not a token
    FLOW = "datasource.dev/oauth2-flow"
    LINK_KEYS = "datasource.dev/link-keys"
    IMPORT = "datasource.dev/oauth2-import"
    SESSION = "datasource.dev/session"


class TokenSecretType(StrEnum):
    """Types of Kubernetes' own that a token Secret may have instead of ours (`spec.tokenSecret.type`)."""

    OPAQUE = "Opaque"
    BASIC_AUTH = "kubernetes.io/basic-auth"
    DOCKER_CONFIG = "kubernetes.io/dockerconfigjson"
    SSH_AUTH = "kubernetes.io/ssh-auth"


class Role(StrEnum):
    """What a Secret of ours is for; stands in its `datasource.dev/role` annotation."""

    CREDENTIAL = "credential"
    TOKEN = "token"  # noqa: S105 - a name, not a token
    FLOW = "flow"
    LINK_KEYS = "link-keys"
    SESSION = "session"


class Annotation(StrEnum):
    """Keys of the annotations that we read (requests) or write (facts)."""

    # Requests, on a Datasource, written by people and pipelines.
    CLEAR_CREDENTIAL = "datasource.dev/clear-credential"
    NEW_CREDENTIAL = "datasource.dev/new-credential"
    REFRESH = "datasource.dev/refresh"

    # Where people sign in: whether links of a Datasource have a ticket all the same, and the hash of the last.
    LINK = "datasource.dev/link"
    LINK_TICKET = "datasource.dev/link-ticket"

    # Facts, on Secrets of ours.
    DATASOURCE = "datasource.dev/datasource"
    ROLE = "datasource.dev/role"
    CREDENTIAL_ID = "datasource.dev/credential-id"
    REVISION = "datasource.dev/revision"
    REPLACES = "datasource.dev/replaces"
    FINGERPRINT = "datasource.dev/fingerprint"
    REQUESTED_SCOPES = "datasource.dev/requested-scopes"
    GRANTED_SCOPES = "datasource.dev/granted-scopes"
    EXPIRES_AT = "datasource.dev/expires-at"
    REFRESHED_AT = "datasource.dev/refreshed-at"
    HAS_REFRESH_TOKEN = "datasource.dev/has-refresh-token"  # noqa: S105 - a name, not a token
    AUTHORIZED_AS = "datasource.dev/authorized-as"
    HANDLED = "datasource.dev/handled"
    TICKET_HASH = "datasource.dev/ticket-hash"
    TOMBSTONE = "datasource.dev/tombstone"
    INTENT = "datasource.dev/intent"
    STORED_BY = "datasource.dev/stored-by"
    VERDICT = "datasource.dev/verdict"
    VERDICT_MESSAGE = "datasource.dev/verdict-message"
    TOLD_LIFETIME = "datasource.dev/told-lifetime"
    EXPIRY_HINT = "datasource.dev/expiry-hint"
    GRANT_EXPIRES_AT = "datasource.dev/grant-expires-at"
    GRANT_LIFETIME = "datasource.dev/grant-lifetime"
    IDENTITY_PROBLEM = "datasource.dev/identity-problem"
    EXPECTED_IDENTITY = "datasource.dev/expected-identity"
    REVOCABLE = "datasource.dev/revocable"
    REVOKE_UNTIL = "datasource.dev/revoke-until"
    PROMISED = "datasource.dev/promised"
    AUTHORIZED_AT = "datasource.dev/authorized-at"
    PAGE_REQUEST = "datasource.dev/page-request"
    HISTORY = "datasource.dev/history"
    IMPORTED = "datasource.dev/imported"
    CONTENT = "datasource.dev/content"
    TEMPLATE = "datasource.dev/template"

    # Facts, on a flow record alone: how the authorization ended.
    OUTCOME = "datasource.dev/outcome"
    OUTCOME_MESSAGE = "datasource.dev/outcome-message"
    ENDED_AT = "datasource.dev/ended-at"

    # On a client Secret, written by its owner: the hosts it may be sent to.
    ALLOWED_HOSTS = "datasource.dev/allowed-hosts"


TOKEN_LABELS = {str(Annotation.ROLE): str(Role.TOKEN)}
"""On a token Secret whose type is not ours: a watch selects it by this."""

HISTORY_KEY = "history"
"""The key of a credential Secret with what people did (`records/history.py`). No token rests on it."""

DOCKER_CONFIG_KEY = ".dockerconfigjson"
"""The key of a Secret of type kubernetes.io/dockerconfigjson; its value is a JSON object."""

REVOKE_FINALIZER = "datasource.dev/revoke"
"""On a credential Secret while `spec.deletionPolicy` is Revoke: its tokens are revoked before it goes."""
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""Where a plain `kubectl apply` notes down all that it applied, the data of a Secret included (CVE-2023-40029)."""


def credential_secret_name(datasource_name: str) -> str:
    """The name of the Secret that keeps the tokens of a Datasource."""
    return datasource_name + CREDENTIAL_SUFFIX


def import_secret_name(datasource_name: str) -> str:
    """The name of the Secret in which somebody brings a refresh token along."""
    return datasource_name + IMPORT_SUFFIX


def default_token_secret_name(datasource_name: str) -> str:
    """The name of the Secret that apps mount, where the spec names none."""
    return datasource_name + TOKEN_SUFFIX


LINK_KEYS_SECRET = "datasource-link-keys"  # noqa: S105 - a name, not a key
"""The Secret of the system namespace with the keys that mark links and states (`records/link_keys.py`)."""

CALLBACK_RIGHTS = "datasource-callback-rights"
"""The Role with which the callback server reads what the Datasources of a namespace name, and its RoleBinding."""

FLOW_SLOTS = 10
"""How many authorizations of one Datasource can be under way at once."""

_UID_DIGEST_LENGTH = 16


def uid_digest(uid: str) -> str:
    """A short, fixed-length stand-in for a uid in names and in the `state` parameter."""
    return hashlib.sha256(uid.encode()).hexdigest()[:_UID_DIGEST_LENGTH]


def flow_secret_name(digest: str, slot: int) -> str:
    """The name of one flow record: `datasource-flow-<uid digest>-<slot>`."""
    return f"datasource-flow-{digest}-{slot}"


SESSION_SLOTS = 10
"""How many sessions one person can have at once."""


def session_secret_name(digest: str, slot: int) -> str:
    """The name of one session: `datasource-session-<digest of the user's name>-<slot>`."""
    return f"datasource-session-{digest}-{slot}"


def callback_rights_name(number: int) -> str:
    """The name of such a Role: the first has no number, of more the second ends in -1."""
    return f"{CALLBACK_RIGHTS}-{number}" if number else CALLBACK_RIGHTS


FLOW_KEY = re.compile(
    rf"(?P<digest>[0-9a-f]{{{_UID_DIGEST_LENGTH}}})-(?P<slot>[0-9])\.(?P<secret>[A-Za-z0-9_-]{{43}})"
    r"(?P<mark>[A-Za-z0-9_-]{16})?"
)
"""The shape of a `state` parameter and of the id of a done page: which record, then the part nobody can guess, then the mark
that says that we made it. v0.1.0 made them without one, and takes those that have one."""


def redirect_uri(external_url: str, namespace: str, name: str | None = None) -> str:
    """What to register with the provider (RFC 6749 section 3.1.2).

    It carries the namespace: the provider's registration then binds the tenant. With a name it is that of one Datasource alone
    (RFC 9700 section 4.4.2): the answer of one provider is then none for the Datasource of another.
    """
    place = "/".join(quote(part, safe="") for part in (namespace, name) if part is not None)
    return f"{external_url}/callback/{place}"


def authorization_link(external_url: str, namespace: str, name: str, ticket: str) -> str:
    """The link that a person opens to get a credential."""
    query = urlencode({"ticket": ticket})
    return f"{external_url}/authorize/{quote(namespace, safe='')}/{quote(name, safe='')}?{query}"


def page_link(external_url: str, namespace: str, name: str) -> str:
    """The page of a Datasource for whoever signed in: it opens nothing by itself."""
    return f"{external_url}/datasources/{quote(namespace, safe='')}/{quote(name, safe='')}"


def ticket_in(link: str | None) -> str | None:
    """The ticket in an authorization link that `authorization_link` made, if there is one."""
    if link is None:
        return None
    _, found, ticket = link.partition("?ticket=")
    return ticket if found and ticket else None
