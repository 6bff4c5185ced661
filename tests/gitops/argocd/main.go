// argocd tells what Argo CD makes of Kubernetes objects.
//
// It reads from standard input {"configMap": {...}, "action": "...", "objects": [...]}, where configMap is the data of argocd-cm.
// It writes to standard output a list with one entry for each object: its health, the actions that are offered for it, and what the
// action, where one is named, makes of it.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

type input struct {
	ConfigMap map[string]string `json:"configMap"`
	Action    string            `json:"action"`
	Objects   []json.RawMessage `json:"objects"`
}

type result struct {
	Status  string                 `json:"status"`
	Message string                 `json:"message"`
	Actions map[string]bool        `json:"actions"`
	Acted   map[string]interface{} `json:"acted"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var in input
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		return fmt.Errorf("standard input: %w", err)
	}
	overrides := overridesOf(in.ConfigMap)
	results := make([]result, 0, len(in.Objects))
	for number, raw := range in.Objects {
		computed, err := compute(overrides, raw, in.Action)
		if err != nil {
			return fmt.Errorf("object %d: %w", number, err)
		}
		results = append(results, computed)
	}
	return json.NewEncoder(os.Stdout).Encode(results)
}

// overridesOf reads resource.customizations.health.GROUP_KIND and resource.customizations.actions.GROUP_KIND, as Argo CD does.
func overridesOf(configMap map[string]string) map[string]v1alpha1.ResourceOverride {
	overrides := map[string]v1alpha1.ResourceOverride{}
	for key, value := range configMap {
		rest, found := strings.CutPrefix(key, "resource.customizations.")
		if !found {
			continue
		}
		what, groupKind, _ := strings.Cut(rest, ".")
		name := strings.ReplaceAll(groupKind, "_", "/")
		override := overrides[name]
		switch what {
		case "health":
			override.HealthLua = value
		case "actions":
			override.Actions = value
		}
		overrides[name] = override
	}
	return overrides
}

func compute(overrides map[string]v1alpha1.ResourceOverride, raw []byte, action string) (result, error) {
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(raw); err != nil {
		return result{}, err
	}
	health, err := lua.ResourceHealthOverrides(overrides).GetResourceHealth(object)
	if err != nil {
		return result{}, fmt.Errorf("health: %w", err)
	}
	if health == nil {
		return result{}, fmt.Errorf("no health script for %s", object.GroupVersionKind())
	}
	computed := result{Status: string(health.Status), Message: health.Message, Actions: map[string]bool{}}
	machine := lua.VM{ResourceOverrides: overrides}
	discovery, err := machine.GetResourceActionDiscovery(object)
	if err != nil {
		return result{}, fmt.Errorf("discovery: %w", err)
	}
	actions, err := machine.ExecuteResourceActionDiscovery(object, discovery)
	if err != nil {
		return result{}, fmt.Errorf("discovery: %w", err)
	}
	for _, each := range actions {
		computed.Actions[each.Name] = !each.Disabled
	}
	if action != "" {
		computed.Acted, err = acted(machine, object, action)
	}
	return computed, err
}

// acted is what the action makes of the object; it has to be a patch of that object alone.
func acted(machine lua.VM, object *unstructured.Unstructured, action string) (map[string]interface{}, error) {
	definition, err := machine.GetResourceAction(object, action)
	if err != nil {
		return nil, fmt.Errorf("action %s: %w", action, err)
	}
	impacted, err := machine.ExecuteResourceAction(object, definition.ActionLua, nil)
	if err != nil {
		return nil, fmt.Errorf("action %s: %w", action, err)
	}
	if len(impacted) != 1 || impacted[0].K8SOperation != lua.PatchOperation {
		return nil, fmt.Errorf("action %s does something else than to patch the object", action)
	}
	return impacted[0].UnstructuredObj.Object, nil
}
