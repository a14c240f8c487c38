// Command schema writes the JSON schemas that the chart's output is checked against: those of
// Kubernetes from its Go types, those of KEDA from its resource definitions. Run it in
// deploy/kubernetes: go run ./schema
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

// keda is the release whose definitions are taken.
const keda = "github.com/kedacore/keda/v2@v2.20.2"

// kinds are the resources of the chart, by the name of the file that kubeconform looks for:
// {{.ResourceKind}}{{.KindSuffix}}.json.
var kinds = map[string]any{
	"deployment-apps-v1.json":            appsv1.Deployment{},
	"service-v1.json":                    corev1.Service{},
	"serviceaccount-v1.json":             corev1.ServiceAccount{},
	"configmap-v1.json":                  corev1.ConfigMap{},
	"poddisruptionbudget-policy-v1.json": policyv1.PodDisruptionBudget{},
	"networkpolicy-networking-v1.json":   networkingv1.NetworkPolicy{},
}

// definitions are those of KEDA, by their files in its source.
var definitions = map[string]string{
	"scaledobject-keda-v1alpha1.json":          "keda.sh_scaledobjects.yaml",
	"triggerauthentication-keda-v1alpha1.json": "keda.sh_triggerauthentications.yaml",
}

func main() {
	files, err := schemas()
	for name, text := range files {
		if err == nil {
			err = os.WriteFile(filepath.Join("schemas", name), text, 0o644) //nolint:gosec // not a secret
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "schema:", err)
		os.Exit(1)
	}
}

// schemas returns all files.
func schemas() (map[string][]byte, error) {
	files := make(map[string][]byte)
	for name, kind := range kinds {
		text, err := ofType(reflect.TypeOf(kind))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		files[name] = text
	}
	dir, err := kedaDir()
	if err != nil {
		return nil, err
	}
	for name, file := range definitions {
		text, err := ofDefinition(filepath.Join(dir, "config", "crd", "bases", file))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		files[name] = text
	}
	return files, nil
}

// node is a schema, or a part of one.
type node = map[string]any

// special are the types that do not write themselves as Go's JSON encoder would.
var special = map[reflect.Type]node{
	reflect.TypeFor[resource.Quantity]():  {"type": []string{"string", "number"}},
	reflect.TypeFor[intstr.IntOrString](): {"type": []string{"string", "integer"}},
	reflect.TypeFor[metav1.Time]():        {"type": []string{"string", "null"}},
	reflect.TypeFor[metav1.MicroTime]():   {"type": []string{"string", "null"}},
	reflect.TypeFor[metav1.FieldsV1]():    {"type": "object"},
}

// ofType is the schema of a Kubernetes type. A property that the type has not is refused.
func ofType(t reflect.Type) ([]byte, error) {
	defs := make(node)
	root, err := describe(t, defs)
	if err != nil {
		return nil, err
	}
	return written(node{"$schema": "http://json-schema.org/draft-07/schema#", "allOf": []node{root}, "definitions": defs})
}

// describe returns the schema of t; those of structs are put in defs.
func describe(t reflect.Type, defs node) (node, error) {
	if n, ok := special[t]; ok {
		return n, nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		return describe(t.Elem(), defs)
	case reflect.String:
		return node{"type": "string"}, nil
	case reflect.Bool:
		return node{"type": "boolean"}, nil
	case reflect.Int, reflect.Int32, reflect.Int64:
		return node{"type": "integer"}, nil
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return node{"type": "string"}, nil // base64
		}
		items, err := describe(t.Elem(), defs)
		return node{"type": "array", "items": items}, err
	case reflect.Map:
		values, err := describe(t.Elem(), defs)
		return node{"type": "object", "additionalProperties": values}, err
	case reflect.Struct:
		name := t.PkgPath()[strings.LastIndex(strings.TrimSuffix(t.PkgPath(), "/v1"), "/")+1:] + "." + t.Name()
		name = strings.ReplaceAll(name, "/", ".")
		if _, known := defs[name]; !known {
			defs[name] = node{} // while it is described
			n, err := describeStruct(t, defs)
			if err != nil {
				return nil, err
			}
			defs[name] = n
		}
		return node{"$ref": "#/definitions/" + name}, nil
	default:
		return nil, fmt.Errorf("%s: no schema for its kind", t)
	}
}

// describeStruct is describe for the fields of a struct. Those that are always written are
// required.
func describeStruct(t reflect.Type, defs node) (node, error) {
	properties, required := make(node), []string{}
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if strings.Contains(options, "inline") || name == "" && f.Anonymous {
			inner, err := describeStruct(f.Type, defs)
			if err != nil {
				return nil, err
			}
			for k, v := range inner["properties"].(node) {
				properties[k] = v
			}
			continue
		}
		if name == "-" || name == "" {
			continue
		}
		n, err := describe(f.Type, defs)
		if err != nil {
			return nil, fmt.Errorf("%s.%s: %w", t.Name(), f.Name, err)
		}
		properties[name] = n
		if !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero") {
			required = append(required, name)
		}
	}
	n := node{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		n["required"] = required
	}
	return n, nil
}

// kedaDir returns where the Go command keeps KEDA's source.
func kedaDir() (string, error) {
	command := exec.CommandContext(context.Background(), "go", "mod", "download", "-json", keda)
	command.Env = append(os.Environ(), "GOFLAGS=-mod=mod")
	command.Dir = os.TempDir() // in no module
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", command, err, out)
	}
	var module struct{ Dir string }
	err = json.Unmarshal(out, &module)
	return module.Dir, err
}

// ofDefinition is the schema in a resource definition, without its prose. A property that it has
// not is refused, as the API server would drop it.
func ofDefinition(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var definition struct {
		Spec struct {
			Versions []struct {
				Schema struct{ OpenAPIV3Schema node }
			}
		}
	}
	if err := yaml.Unmarshal(text, &definition); err != nil {
		return nil, err
	}
	if n := len(definition.Spec.Versions); n != 1 {
		return nil, fmt.Errorf("%s: %d versions, want 1", path, n)
	}
	schema := strict(definition.Spec.Versions[0].Schema.OpenAPIV3Schema).(node)
	// The definition leaves metadata open; a chart sets this of it.
	labels := node{"type": "object", "additionalProperties": node{"type": "string"}}
	schema["properties"].(node)["metadata"] = node{
		"type": "object", "additionalProperties": false, "required": []string{"name"}, "properties": node{
			"name": node{"type": "string"}, "namespace": node{"type": "string"}, "labels": labels, "annotations": labels,
		},
	}
	return written(schema)
}

// strict takes the descriptions out of a schema, and closes its objects.
func strict(v any) any {
	switch v := v.(type) {
	case node:
		out := make(node)
		for key, value := range v {
			if _, prose := value.(string); key == "description" && prose {
				continue
			}
			out[key] = strict(value)
		}
		_, closed := out["properties"].(node)
		if _, open := out["additionalProperties"]; closed && !open && out["type"] == "object" {
			out["additionalProperties"] = false
		}
		return out
	case []any:
		for i := range v {
			v[i] = strict(v[i])
		}
	}
	return v
}

func written(n node) ([]byte, error) {
	text, err := json.MarshalIndent(n, "", " ")
	return append(text, '\n'), err
}
