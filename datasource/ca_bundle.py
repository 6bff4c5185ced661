"""I/O: the CA bundle of a Datasource: inline, or read live from a ConfigMap at each use."""

from datasource.kube import CONFIG_MAPS, Kube, NotFound
from datasource.objects import ConfigMap
from datasource.spec import InvalidSpec, OAuth2, bundle_problems

_FIELD = "spec.oauth2.caBundleRef"


async def read_ca_bundle(kube: Kube, namespace: str, oauth2: OAuth2) -> str | None:
    """The certificate authorities, in PEM, that the provider is trusted by beside the system's; None for no more.

    Raises:
        InvalidSpec: the ConfigMap or its key is not there, or holds no usable bundle.
        ApiError, Unavailable: the API server refused or did not answer.
    """
    ref = oauth2.ca_bundle_ref
    if ref is None:
        return oauth2.ca_bundle
    try:
        config_map = await kube.get(CONFIG_MAPS, namespace, ref.name, ConfigMap)
    except NotFound:
        raise InvalidSpec(
            _FIELD,
            f"names ConfigMap {ref.name}, which does not exist",
            f"Create it: kubectl create configmap {ref.name} -n {namespace} --from-file={ref.key}=...",
        ) from None
    bundle = (config_map.data or {}).get(ref.key)
    if bundle is None:
        raise InvalidSpec(
            _FIELD,
            f"names key {ref.key}, which ConfigMap {ref.name} does not have",
            "Add the key, or name another in caBundleRef.key.",
        )
    for problem in bundle_problems(f"{_FIELD}: key {ref.key} of ConfigMap {ref.name}", bundle):
        raise problem
    return bundle
