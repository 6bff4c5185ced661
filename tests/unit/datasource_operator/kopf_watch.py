"""kopf's own watch of Datasources, on a session of ours."""

from collections.abc import AsyncGenerator
from typing import Any

import kopf
from kopf._cogs.clients import auth, watching
from kopf._cogs.structs import credentials, references

from datasource.cluster.login import login
from datasource.cluster.resources import DATASOURCES
from datasource_operator.handlers import configure
from datasource_operator.kopf_session import DatasourceRequests
from tests.unit.datasource.api_server import ApiServer

LISTED = watching.Bookmark.LISTED
"""What kopf says after a list."""


async def kopf_events(server: ApiServer, requests: DatasourceRequests) -> AsyncGenerator[Any, None]:
    """What kopf makes of a list and of the watch behind it, with our settings, until nobody asks for more."""
    settings = kopf.OperatorSettings()
    configure(settings)
    connection = await login(str(server.kubeconfig))
    async with requests.session(connection) as session:
        info = kopf.AiohttpSession(server=connection.host, aiohttp_session=session, expiration=None)
        auth.vault_var.set(credentials.Vault({credentials.VaultKey("ours"): info}))
        group, version = DATASOURCES.prefix.split("/")[2:4]
        resource = references.Resource(group, version, DATASOURCES.plural, namespaced=True)
        async for event in watching.infinite_watch(settings=settings, resource=resource, namespace=None):
            yield event
