"""What an installation is called, and what it needs, unless somebody chose otherwise. For the plugin, too."""

SYSTEM_NAMESPACE = "datasource-system"

LEASE_NAME = "datasource-operator"
"""The Lease in that namespace that only one operator holds at a time."""

OLDEST_KUBERNETES = (1, 31)
"""Selectable fields of custom resources (on by default since 1.31) are the newest of what the CRD, the policies and the pods
use; ValidatingAdmissionPolicy v1 and preStop sleep came with 1.30."""
