// An OCI registry, which Flux takes the chart from; built by tests/support/go_programs.py into a cache folder named after its version.
module datasource.dev/tests/gitops/registry

go 1.26.0

tool github.com/google/go-containerregistry/cmd/registry

require (
	github.com/google/go-containerregistry v0.21.6 // indirect
)
