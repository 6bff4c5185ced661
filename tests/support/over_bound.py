"""Rights beyond those of deploy/, so that a test shows what an admission policy refuses, and not what RBAC does."""

from datasource.process.installation import SYSTEM_NAMESPACE
from deploy.local.cluster import Cluster
from deploy.local.stack import CALLBACK_SERVER


def let_callback_server_patch_all_secrets(cluster: Cluster, namespace: str) -> None:
    """It may get and patch every Secret of a namespace, as in v0.1.0."""
    verbs = ("--verb=get,patch", "--resource=secrets")
    cluster.kubectl("create", "role", "over-bound", *verbs, "-n", namespace)
    account = f"--serviceaccount={SYSTEM_NAMESPACE}:{CALLBACK_SERVER}"
    cluster.kubectl("create", "rolebinding", "over-bound", "--role=over-bound", account, "-n", namespace)
