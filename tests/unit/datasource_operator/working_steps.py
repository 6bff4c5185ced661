"""An executor of steps, at work on an API server in memory, where one credential is stored."""

from datasource.api.names import credential_secret_name
from datasource.cluster.resources import SECRETS
from datasource.outbound.egress import EgressPolicy
from datasource.process.settings import Settings
from datasource.providers.discovery import Discovery
from datasource.providers.transport import Transport
from datasource.records.credential import CredentialData
from datasource.records.credential_patches import credential_manifest
from datasource_operator.cache import Cache, Key
from datasource_operator.executor import Executor
from datasource_operator.refresh_memory import RefreshMemory
from tests.support.builders import NAME, NAMESPACE, UID, credential, datasource, fingerprint_of, spec
from tests.support.kube_in_memory import KubeInMemory
from tests.unit.datasource_operator.stand_ins import Clock

KEY = Key(NAMESPACE, NAME)
DISCOVERY = Discovery(Transport(EgressPolicy()), Clock())  # nobody here has an issuer


def data(access_token: str) -> CredentialData:
    """The data of a credential."""
    return CredentialData(
        access_token=access_token,
        token_type="Bearer",
        token_endpoint="https://login.example.com/token",
        fingerprint=fingerprint_of(spec()),
        client_id="my-app",
    )


def steps_on(kube: KubeInMemory) -> Executor:
    """An executor of steps where a credential is stored in version 7, with `stored` as its access token."""
    stored = credential_manifest(
        namespace=NAMESPACE,
        datasource_name=NAME,
        datasource_uid=UID,
        facts=credential().facts,
        data=data("stored"),
    )
    stored["metadata"]["resourceVersion"] = "7"
    kube.put(SECRETS, NAMESPACE, credential_secret_name(NAME), **stored)
    cache = Cache()
    cache.store_datasource(datasource())
    settings = Settings(external_url="https://connect.example.com", system_namespace="datasource-system")
    return Executor(kube, cache, settings, RefreshMemory(Clock(), lambda: 0.5), DISCOVERY)
