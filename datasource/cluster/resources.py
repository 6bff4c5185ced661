"""Pure: the resources of the Kubernetes API that we read and write."""

from dataclasses import dataclass

from datasource.api.names import GROUP, PLURAL, VERSION


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource of the API: the path of its group and version, and its plural."""

    prefix: str
    plural: str

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """The path of a collection (no name), an object or its subresource."""
        parts = [self.prefix]
        if namespace:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/".join(parts)


SECRETS = Resource("/api/v1", "secrets")
CONFIG_MAPS = Resource("/api/v1", "configmaps")
LEASES = Resource("/apis/coordination.k8s.io/v1", "leases")
EVENTS = Resource("/apis/events.k8s.io/v1", "events")
LOCAL_ACCESS_REVIEWS = Resource("/apis/authorization.k8s.io/v1", "localsubjectaccessreviews")
DATASOURCES = Resource(f"/apis/{GROUP}/{VERSION}", PLURAL)
