"""The plugin in processes of its own, before a stand-in for kubectl."""

from tests.unit.kubectl_datasource.fake_cluster import cluster

__all__ = ["cluster"]
