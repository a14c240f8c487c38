package kubernetes_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

var rewrite = flag.Bool("rewrite", false, "write the files that kustomize starts from anew")

// fromChart are the files that kustomize starts from: each is the chart's output with the
// values.yaml beside it.
var fromChart = map[string][]string{
	"base/sqsonce.yaml": {"-s", "templates/serviceaccount.yaml", "-s", "templates/poddisruptionbudget.yaml",
		"-s", "templates/networkpolicy.yaml", "-s", "templates/service.yaml", "-s", "templates/deployment.yaml"},
	"components/keda/keda.yaml": {"-s", "templates/keda.yaml"},
}

func TestBase(t *testing.T) {
	for file, templates := range fromChart {
		dir := file[:strings.LastIndex(file, "/")]
		args := []string{"template", "sqsonce", "chart", "--kube-version", kubeVersion, "-f", dir + "/values.yaml"}
		want, err := try(t, "", tool(t, "helm"), append(args, templates...)...)
		if err != nil {
			t.Fatal(err)
		}
		want = plain(want)
		if *rewrite {
			if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(file)
		if err != nil || string(got) != want {
			t.Errorf("%s is not the chart's output (go test -run TestBase -rewrite writes it): %v", file, err)
		}
	}
}

// plain is the chart's output without Helm's own lines.
func plain(resources string) string {
	var lines []string
	for line := range strings.Lines(resources) {
		if strings.HasPrefix(line, "# Source:") || strings.Contains(line, "helm.sh/chart:") ||
			strings.Contains(line, "app.kubernetes.io/managed-by:") || strings.Contains(line, "app.kubernetes.io/version:") {
			continue
		}
		lines = append(lines, line)
	}
	return strings.TrimPrefix(strings.Join(lines, ""), "---\n")
}

// TestKustomize: base and example are resources that the API server takes, and the example
// leaves no placeholder behind.
func TestKustomize(t *testing.T) {
	for _, dir := range []string{"base", "example"} {
		out, err := try(t, "", tool(t, "kustomize"), "build", dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := conforms(t, out); err != nil {
			t.Errorf("%s: %v", dir, err)
		}
		if dir == "base" {
			continue
		}
		for _, placeholder := range []string{"QUEUE\"", "/QUEUE\n", ": TABLE\n", ": APP\n", "000000000000"} {
			if strings.Contains(out, placeholder) {
				t.Errorf("%q is left in the example", placeholder)
			}
		}
		d, worker := deployment(t, out)
		app := d.Spec.Template.Spec.InitContainers[0]
		if d.Spec.Replicas != nil || d.Namespace != "orders" || app.Image != "123456789012.dkr.ecr.eu-central-1.amazonaws.com/orders:1.4.2" {
			t.Errorf("%v replicas in %q of %q", d.Spec.Replicas, d.Namespace, app.Image)
		}
		if variable(worker, "SQSONCE_TARGET_URL") == "" || variable(worker, "SQSONCE_TABLE") != "orders" {
			t.Errorf("variables %v", worker.Env)
		}
		scaled := one[scaledObject](t, out, "ScaledObject")
		if got := scaled.Spec.Triggers[0].Metadata["queueURL"]; got != variable(worker, "SQSONCE_QUEUE_URL") {
			t.Errorf("KEDA looks at %s", got)
		}
		if account := one[corev1.ServiceAccount](t, out, "ServiceAccount"); account.Annotations["eks.amazonaws.com/role-arn"] == "" {
			t.Errorf("annotations %v", account.Annotations)
		}
	}
}
