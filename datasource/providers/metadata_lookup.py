"""I/O: the metadata of the issuer that a spec names, where anything depends on it."""

from datasource.api.spec import InvalidSpec, OAuth2
from datasource.oauth2.errors import MetadataUnavailable, MetadataUnusable
from datasource.oauth2.provider_metadata import ProviderMetadata
from datasource.providers.discovery import Discovery
from datasource.records.effective import needs_metadata


async def look_up_metadata(
    discovery: Discovery, oauth2: OAuth2, *, tenant: str, ca_bundle: str | None = None
) -> ProviderMetadata | None:
    """What the issuer says of itself; None without an issuer, or where it cannot be had and no endpoint depends on it.

    Raises:
        MetadataUnavailable: an endpoint depends on it, and it cannot be read now.
        InvalidSpec: an endpoint depends on it, and there is none that can be believed.
    """
    whole = oauth2.expanded()
    if not whole.issuer:
        return None
    try:
        return await discovery.metadata(
            whole.issuer, tenant=tenant, ca_bundle=ca_bundle, discovery_url=whole.discovery_url
        )
    except MetadataUnavailable:
        if needs_metadata(oauth2):
            raise
    except MetadataUnusable as error:
        if needs_metadata(oauth2):
            raise InvalidSpec(
                "spec.oauth2.discoveryURL" if whole.discovery_url else "spec.oauth2.issuer",
                f"gives no endpoints: {str(error).rstrip('.')}",
                "Correct it, or set authorizeURL and tokenURL.",
            ) from None
    return None
