"""One step of each kind, and other things that several tests of decisions need."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from datasource.api.secret_metadata import SecretMetadata
from datasource.api.spec import Spec
from datasource.api.states import Reason
from datasource.records.import_secret import ImportSecret
from datasource_operator.decisions.observed import Finding
from datasource_operator.decisions.steps import (
    Adopt,
    Clear,
    CompareIdentity,
    DeleteImport,
    DeleteTokenSecret,
    Hold,
    LookAround,
    LookAtImport,
    LookForTokenSecret,
    MarkHandled,
    Nothing,
    ReadHistory,
    ReadLive,
    Relabel,
    Release,
    Settle,
    Step,
    TakeImport,
    WriteTokenSecret,
)
from tests.support.builders import NOW, credential, handled, planned, spec, token_secret

STEPS: tuple[Step, ...] = (
    Nothing(),
    ReadLive(),
    LookAround(),
    Adopt(credential()),
    Clear(credential(), handled(clear_credential="1")),
    MarkHandled(credential(), handled(refresh="1"), "NoRefreshToken"),
    ReadHistory(),
    CompareIdentity(credential(), {"email": "ada@example.com"}),
    Hold(credential()),
    Release(credential()),
    Relabel(credential(), SecretMetadata(labels={"team": "sales"})),
    LookAtImport(ImportSecret("uid-1", "9")),
    TakeImport(ImportSecret("uid-1", "9"), "a" * 64, credential(), keeps_access_token=True),
    DeleteImport(ImportSecret("uid-1", "9")),
    WriteTokenSecret(planned(), credential(), None),
    LookForTokenSecret("calendar-token"),
    DeleteTokenSecret(token_secret()),
    Settle(Finding(Reason.AUTHORIZED, "A credential is stored."), NOW + timedelta(hours=1), refresh=True),
)


def expecting(identity: Mapping[str, str], **oauth2: Any) -> Spec:
    """A spec that names who may authorize, and an issuer to vouch for it."""
    usual: dict[str, Any] = {"issuer": "https://login.example.com", "scopes": ["openid"]}
    return spec(expectedIdentity=dict(identity), **(usual | oauth2))
