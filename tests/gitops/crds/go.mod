// Where the CRDs come from that other people's operators bring: nothing of these modules is compiled.
// Those of programs that are run are pinned in ../controllers. `go mod download MODULE` in this folder writes its line in go.sum; `go mod tidy` would drop them all.
module datasource.dev/tests/gitops/crds

go 1.26.0

require (
	github.com/external-secrets/external-secrets v1.3.2
	github.com/prometheus-operator/prometheus-operator v0.85.0
	sigs.k8s.io/gateway-api v1.6.3
)
