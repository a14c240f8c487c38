// Package kubernetes_test renders the chart and the kustomize base, and checks the output.
package kubernetes_test

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// kubeVersion is the release whose API the schemas are of.
const kubeVersion = "1.37.0"

// valueSets are the values in chart/ci that the tests render.
var valueSets = []string{"app", "demo", "hours", "keda", "target"}

// tool is the path of a program that make kubernetes has built.
func tool(t *testing.T, name string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join("..", "..", "bin", name+"-v*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: want one in bin, found %v: run make kubernetes", name, found)
	}
	return found[0]
}

// try runs a program and returns its output. The error has its standard error.
func try(t *testing.T, stdin, name string, args ...string) (string, error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), name, args...)
	var out, problems bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(stdin), &out, &problems
	if err := command.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w\n%s", filepath.Base(name), err, problems.String())
	}
	return out.String(), nil
}

// render is helm template with a value set and further flags.
func render(t *testing.T, set string, flags ...string) (string, error) {
	t.Helper()
	args := []string{"template", "orders", "chart", "--kube-version", kubeVersion, "-f", "chart/ci/" + set + ".yaml"}
	return try(t, "", tool(t, "helm"), append(args, flags...)...)
}

// rendered is render that must work.
func rendered(t *testing.T, set string, flags ...string) string {
	t.Helper()
	out, err := render(t, set, flags...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// conforms holds resources to the schemas.
func conforms(t *testing.T, resources string) error {
	t.Helper()
	out, err := try(t, resources, tool(t, "kubeconform"), "-strict", "-schema-location", "schemas/{{.ResourceKind}}{{.KindSuffix}}.json")
	if err != nil {
		return fmt.Errorf("%w%s", err, out)
	}
	return nil
}

// one returns the resource of a kind as a T, or nil if there is none.
func one[T any](t *testing.T, resources, kind string) *T {
	t.Helper()
	for _, text := range strings.Split(resources, "\n---\n") {
		var head struct{ Kind string }
		if err := yaml.Unmarshal([]byte(text), &head); err != nil {
			t.Fatal(err)
		}
		if head.Kind == kind {
			v := new(T)
			if err := yaml.UnmarshalStrict([]byte(text), v); err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	return nil
}

// deployment is the Deployment among resources, and its worker.
func deployment(t *testing.T, resources string) (*appsv1.Deployment, corev1.Container) {
	t.Helper()
	d := one[appsv1.Deployment](t, resources, "Deployment")
	if d == nil || len(d.Spec.Template.Spec.Containers) != 1 {
		t.Fatalf("want a Deployment with one main container in:\n%s", resources)
	}
	return d, d.Spec.Template.Spec.Containers[0]
}

// variable is the value of a container's variable.
func variable(c corev1.Container, name string) string {
	for _, v := range c.Env {
		if v.Name == name {
			return v.Value
		}
	}
	return ""
}

// seconds is a variable that is a duration.
func seconds(t *testing.T, c corev1.Container, name string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(variable(c, name))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return d
}

func TestChart(t *testing.T) {
	for _, set := range valueSets {
		t.Run(set, func(t *testing.T) {
			out := rendered(t, set)
			if err := conforms(t, out); err != nil {
				t.Error(err)
			}
			for _, kind := range []string{"Deployment", "Service"} {
				if !strings.Contains(out, "\nkind: "+kind+"\n") {
					t.Errorf("no %s", kind)
				}
			}
		})
	}
	found, err := filepath.Glob("chart/ci/*.yaml")
	if err != nil || len(found) != len(valueSets) {
		t.Errorf("%d value sets are rendered, %d are in chart/ci", len(valueSets), len(found))
	}
}

// TestSchemas: the schemas are strict enough to see a mistake.
func TestSchemas(t *testing.T) {
	good := rendered(t, "keda")
	for name, edit := range map[string][2]string{
		"misspelt":     {"terminationGracePeriodSeconds", "terminationGraceSeconds"},
		"wrong type":   {"failureThreshold: 3", "failureThreshold: three"},
		"missing":      {"image: \"orders:1.4.2\"\n", "name: app\n"},
		"KEDA":         {"minReplicaCount: 0", "minReplicas: 0"},
		"unknown kind": {"kind: Service\n", "kind: Servise\n"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := strings.Replace(good, edit[0], edit[1], 1)
			if bad == good {
				t.Fatalf("%q is not in the output", edit[0])
			}
			if conforms(t, bad) == nil {
				t.Error("taken as good")
			}
		})
	}
}

// TestStop: the pod's time to stop holds the worker's drain and end, and then the app's.
func TestStop(t *testing.T) {
	// A worker may take this after its drain; see docs/worker.md, Stopping.
	const reserve = 4750 * time.Millisecond
	for _, set := range valueSets {
		for _, flags := range [][]string{nil, {"--set", "worker.drainSeconds=1,terminationGracePeriodSeconds=null"}, {"--set", "worker.drainSeconds=86400,app.stopSeconds=30,terminationGracePeriodSeconds=null"}} {
			d, worker := deployment(t, rendered(t, set, flags...))
			grace := time.Duration(*d.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second
			drain, stop := seconds(t, worker, "SQSONCE_DRAIN_TIMEOUT"), seconds(t, worker, "SQSONCE_STOP_TIMEOUT")
			if stop < drain+reserve {
				t.Errorf("%s %v: the worker is told of %s, and needs %s", set, flags, stop, drain+reserve)
			}
			if apps := d.Spec.Template.Spec.InitContainers; len(apps) > 0 && grace <= stop || grace < stop {
				t.Errorf("%s %v: the pod has %s, the worker alone %s", set, flags, grace, stop)
			}
		}
	}
	d, _ := deployment(t, rendered(t, "hours"))
	if got := *d.Spec.Template.Spec.TerminationGracePeriodSeconds; got != 21900 {
		t.Errorf("terminationGracePeriodSeconds %d, want that of the values", got)
	}
}

// TestOrder: the app is a native sidecar, so that it stops after the worker.
func TestOrder(t *testing.T) {
	for _, set := range valueSets {
		d, worker := deployment(t, rendered(t, set))
		pod, target := d.Spec.Template.Spec, variable(worker, "SQSONCE_TARGET_URL")
		beside := strings.HasPrefix(target, "http://127.0.0.1:")
		if worker.Name != "worker" || beside != (len(pod.InitContainers) == 1) {
			t.Fatalf("%s: target %q with %d init containers", set, target, len(pod.InitContainers))
		}
		if !beside {
			continue
		}
		app := pod.InitContainers[0]
		if app.RestartPolicy == nil || *app.RestartPolicy != corev1.ContainerRestartPolicyAlways || app.StartupProbe == nil {
			t.Errorf("%s: the app is no native sidecar that the worker waits for: %+v", set, app)
		}
		if port := strconv.Itoa(int(app.Ports[0].ContainerPort)); !strings.Contains(target, ":"+port+"/") {
			t.Errorf("%s: target %q, and the app listens on %s", set, target, port)
		}
	}
}

// TestWorker: the worker knows every variable that the chart sets, and every probe's command.
func TestWorker(t *testing.T) {
	worker := filepath.Join(t.TempDir(), "worker")
	if _, err := try(t, "", "go", "build", "-C", "../..", "-o", worker, "./cmd/worker"); err != nil {
		t.Fatal(err)
	}
	help, err := try(t, "", worker, "--help")
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range valueSets {
		_, c := deployment(t, rendered(t, set))
		for _, v := range c.Env {
			if strings.HasPrefix(v.Name, "SQSONCE_") && !regexp.MustCompile(`\$`+v.Name+`[,)]`).MatchString(help) {
				t.Errorf("%s: %s sets nothing", set, v.Name)
			}
		}
		for _, probe := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe} {
			if probe.Exec == nil || probe.Exec.Command[0] != "/worker" {
				t.Fatalf("%s: probe %+v", set, probe)
			}
			// Nothing listens there: exit 1, and not 2 as for a command that does not exist.
			_, err := try(t, "", worker, append(probe.Exec.Command[1:], "--admin-addr", "127.0.0.1:1")...)
			if err == nil || !strings.Contains(err.Error(), "exit status 1") {
				t.Errorf("%v: %v", probe.Exec.Command, err)
			}
		}
	}
}

// TestVariables: a variable has the text of its value, also if that is a large number.
func TestVariables(t *testing.T) {
	values := filepath.Join(t.TempDir(), "values.yaml")
	const env = `{env: {BYTES: 67108864, NEGATIVE: -12345678, RATE: 0.5, SWITCH: true, TEXT: "1e7 & <x>", ZEROS: "007"}}`
	if err := os.WriteFile(values, []byte("worker: "+env+"\napp: "+env+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, worker := deployment(t, rendered(t, "app", "-f", values))
	for _, c := range []corev1.Container{worker, d.Spec.Template.Spec.InitContainers[0]} {
		for name, want := range map[string]string{
			"BYTES": "67108864", "NEGATIVE": "-12345678", "RATE": "0.5", "SWITCH": "true", "TEXT": "1e7 & <x>", "ZEROS": "007",
		} {
			if got := variable(c, name); got != want {
				t.Errorf("%s: %s is %q, want %q", c.Name, name, got, want)
			}
		}
	}
}

// scaledObject is the part of KEDA's resource that the tests look at.
type scaledObject struct {
	Kind, APIVersion string
	Metadata         map[string]any
	Spec             struct {
		ScaleTargetRef                                                    struct{ Name string }
		MinReplicaCount, MaxReplicaCount, PollingInterval, CooldownPeriod int
		Triggers                                                          []struct {
			Type              string
			Metadata          map[string]string
			AuthenticationRef struct{ Name string }
		}
	}
}

func TestKEDA(t *testing.T) {
	for _, tc := range []struct{ concurrency, latency, handle float64 }{{50, 30, 1}, {1, 1, 30}, {20, 60, 2.5}, {4, 0.5, 3600}} {
		set := fmt.Sprintf("worker.concurrency=%v,keda.latencySeconds=%v,keda.handleSeconds=%v", tc.concurrency, tc.latency, tc.handle)
		out := rendered(t, "keda", "--set-json", set)
		scaled := one[scaledObject](t, out, "ScaledObject")
		got, err := strconv.ParseFloat(scaled.Spec.Triggers[0].Metadata["queueLength"], 64)
		if want := tc.concurrency * (1 + tc.latency/tc.handle); err != nil || got != math.Ceil(want-1e-9) {
			t.Errorf("%s: queueLength %v, want %v: %v", set, got, want, err)
		}
	}
	out := rendered(t, "keda")
	scaled, d := one[scaledObject](t, out, "ScaledObject"), one[appsv1.Deployment](t, out, "Deployment")
	trigger := scaled.Spec.Triggers[0]
	if scaled.Spec.MinReplicaCount != 0 || trigger.Metadata["scaleOnInFlight"] != "true" || trigger.Type != "aws-sqs-queue" {
		t.Errorf("ScaledObject %+v", scaled.Spec)
	}
	if scaled.Spec.ScaleTargetRef.Name != d.Name || d.Spec.Replicas != nil {
		t.Errorf("scales %s; the Deployment is %s with %v replicas", scaled.Spec.ScaleTargetRef.Name, d.Name, d.Spec.Replicas)
	}
	_, worker := deployment(t, out)
	if trigger.Metadata["queueURL"] != variable(worker, "SQSONCE_QUEUE_URL") || trigger.Metadata["awsRegion"] != variable(worker, "AWS_REGION") {
		t.Errorf("looks at %v, and the worker works elsewhere", trigger.Metadata)
	}
	if one[struct {
		Kind, APIVersion string
		Metadata, Spec   map[string]any
	}](t, rendered(t, "app"), "ScaledObject") != nil {
		t.Error("a ScaledObject without keda.enabled")
	}
}

// TestRefused: an error names the field and its value.
func TestRefused(t *testing.T) {
	for set, want := range map[string][]string{
		"worker.concurrency=0":                 {"/worker/concurrency", "got 0"},
		"worker.concurency=5":                  {"/worker", "'concurency'"},
		"worker.onUnknown=maybe":               {"/worker/onUnknown", "'maybe'"},
		"worker.drainSeconds=0":                {"/worker/drainSeconds", "got 0"},
		"worker.targetTimeout=soon":            {"/worker/targetTimeout", "'soon'"},
		"worker.goMemLimit=384MB":              {"/worker/goMemLimit", "'384MB'"},
		"worker.env.SQSONCE_TABLE=other":       {"worker.env.SQSONCE_TABLE", `"other"`},
		"worker.env.ID=12345678901234567":      {"/worker/env/ID", "maximum"}, // has more digits than a float keeps
		"app.env.ID=-12345678901234567":        {"/app/env/ID", "minimum"},
		"queue.url=orders":                     {"/queue/url", "'orders'"},
		"queue.url=http://queue:4566/0/orders": {"region", "http://queue:4566/0/orders"},
		"table=a b":                            {"/table", "'a b'"},
		"serviceAccount.roleArn=orders":        {"/serviceAccount/roleArn", "'orders'"},
		"app.port=70000":                       {"/app/port", "got 70,000"},
		"app.path=work":                        {"/app/path", "'work'"},
		"app.health=//host":                    {"/app/health", "'//host'"},
		"app.image=":                           {"app.image", "target.url"},
		"demo=true":                            {"app.image", "orders:1.4.2", "demo true"},
		"target.url=https://elsewhere":         {"app.image", "target.url \"https://elsewhere\""},
		"target.url=ftp://elsewhere":           {"/target/url", "'ftp://elsewhere'"},
		"terminationGracePeriodSeconds=119":    {"terminationGracePeriodSeconds 119", "at least 120", "drainSeconds 110"},
		"worker.drainSeconds=3600,terminationGracePeriodSeconds=120": {"terminationGracePeriodSeconds 120", "at least 3610", "drainSeconds 3600"},
		"podDisruptionBudget.maxUnavailable=half":                    {"/podDisruptionBudget/maxUnavailable", "'half'"},
		"metrics.port=80":                           {"/metrics/port", "got 80"},
		"keda.enabled=true,keda.handleSeconds=0":    {"/keda/handleSeconds", "got 0"},
		"keda.enabled=true,keda.minReplicaCount=20": {"keda.minReplicaCount 20", "keda.maxReplicaCount 10"},
		"keda.enabled=true,keda.identityOwner=me":   {"/keda/identityOwner", "'me'"},
	} {
		t.Run(set, func(t *testing.T) {
			_, err := render(t, "app", "--set", set)
			if err == nil {
				t.Fatal("not refused")
			}
			for _, part := range want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in: %v", part, err)
				}
			}
		})
	}
	if out, err := try(t, "", tool(t, "helm"), "template", "orders", "chart", "--kube-version", kubeVersion); err == nil || !strings.Contains(err.Error(), "/queue/url") {
		t.Errorf("without values: %v%s", err, out)
	}
	out, err := try(t, "", tool(t, "helm"), "template", "orders", "chart", "--kube-version", "1.28.0", "-f", "chart/ci/app.yaml")
	if err == nil || !strings.Contains(err.Error(), "1.28.0") {
		t.Errorf("without native sidecars: %v%s", err, out)
	}
}

// TestNetwork: nothing but the metrics port is let in.
func TestNetwork(t *testing.T) {
	type policy struct {
		Kind, APIVersion string
		Metadata         map[string]any
		Spec             struct {
			PodSelector map[string]any
			PolicyTypes []string
			Ingress     []struct {
				Ports []struct{ Protocol, Port string }
				From  []any
			}
			Egress []any
		}
	}
	p := one[policy](t, rendered(t, "app"), "NetworkPolicy")
	if len(p.Spec.Ingress) != 1 || len(p.Spec.Ingress[0].Ports) != 1 || p.Spec.Ingress[0].Ports[0].Port != "metrics" || slices.Contains(p.Spec.PolicyTypes, "Egress") {
		t.Errorf("%+v", p.Spec)
	}
	p = one[policy](t, rendered(t, "hours"), "NetworkPolicy")
	if !slices.Contains(p.Spec.PolicyTypes, "Egress") || len(p.Spec.Egress) != 4 {
		t.Errorf("%+v", p.Spec)
	}
}

// TestServiceAccount: IRSA by the role's ARN, EKS Pod Identity by the account's name.
func TestServiceAccount(t *testing.T) {
	account := one[corev1.ServiceAccount](t, rendered(t, "keda"), "ServiceAccount")
	if account.Annotations["eks.amazonaws.com/role-arn"] != "arn:aws:iam::123456789012:role/orders-worker" {
		t.Errorf("annotations %v", account.Annotations)
	}
	out := rendered(t, "target")
	if d, _ := deployment(t, out); d.Spec.Template.Spec.ServiceAccountName != "orders" || one[corev1.ServiceAccount](t, out, "ServiceAccount") != nil {
		t.Errorf("account %q", d.Spec.Template.Spec.ServiceAccountName)
	}
	if account := one[corev1.ServiceAccount](t, rendered(t, "app"), "ServiceAccount"); account == nil || len(account.Annotations) != 0 {
		t.Errorf("account %+v", account)
	}
}

func TestMain(m *testing.M) {
	for _, name := range []string{"KUBECONFIG", "HELM_NAMESPACE"} {
		_ = os.Unsetenv(name) // the output must not depend on the caller's cluster
	}
	os.Exit(m.Run())
}
