"""What tests of the plugin stand on."""

from tests.unit.kubectl_datasource.fake_cluster import cluster

__all__ = ["cluster"]
