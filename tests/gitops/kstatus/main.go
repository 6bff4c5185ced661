// kstatus tells what Flux makes of Kubernetes objects.
//
// It reads from standard input {"healthCheckExprs": {"inProgress": ..., "failed": ..., "current": ...}, "objects": [...]} and
// writes to standard output a list with one entry for each object: what the kstatus library of sigs.k8s.io/cli-utils computes, what
// Flux's fork of it does, and what Flux's evaluator of healthCheckExprs says.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	fluxstatus "github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

type input struct {
	HealthCheckExprs kustomize.HealthCheckExpressions `json:"healthCheckExprs"`
	Objects          []json.RawMessage                `json:"objects"`
}

type result struct {
	Kstatus     string `json:"kstatus"`
	Message     string `json:"message"`
	Flux        string `json:"flux"`
	HealthCheck string `json:"healthCheck"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var in input
	decoder := json.NewDecoder(os.Stdin)
	if err := decoder.Decode(&in); err != nil {
		return fmt.Errorf("standard input: %w", err)
	}
	evaluator, err := cel.NewStatusEvaluator(&in.HealthCheckExprs)
	if err != nil {
		return fmt.Errorf("healthCheckExprs: %w", err)
	}
	results := make([]result, 0, len(in.Objects))
	for number, raw := range in.Objects {
		computed, err := compute(evaluator, raw)
		if err != nil {
			return fmt.Errorf("object %d: %w", number, err)
		}
		results = append(results, computed)
	}
	return json.NewEncoder(os.Stdout).Encode(results)
}

func compute(evaluator *cel.StatusEvaluator, raw []byte) (result, error) {
	// As from the API server: whole numbers are int64.
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(raw); err != nil {
		return result{}, err
	}
	upstream, err := status.Compute(object)
	if err != nil {
		return result{}, fmt.Errorf("kstatus: %w", err)
	}
	flux, err := fluxstatus.Compute(object)
	if err != nil {
		return result{}, fmt.Errorf("kstatus of Flux: %w", err)
	}
	check, err := evaluator.Evaluate(context.Background(), object)
	if err != nil {
		return result{}, fmt.Errorf("healthCheckExprs: %w", err)
	}
	return result{upstream.Status.String(), upstream.Message, flux.Status.String(), check.Status.String()}, nil
}
