// Where the CRDs and rights come from that other people's operators bring: nothing of these modules is compiled.
// `go mod download MODULE` in this folder writes its line in go.sum; `go mod tidy` would drop them all.
module datasource.dev/tests/gitops/crds

go 1.26.0

require (
	github.com/bitnami-labs/sealed-secrets v0.27.1
	github.com/external-secrets/external-secrets v1.3.2
	github.com/fluxcd/flux2/v2 v2.9.2
	github.com/prometheus-operator/prometheus-operator v0.85.0
	sigs.k8s.io/gateway-api v1.6.3
)
