package infra

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestSynth(t *testing.T) {
	t.Parallel()
	t.Run("command synthesises offline without an account or docker", testTheCommandSynthesisesOfflineWithoutAnAccountOrDocker)
	t.Run("faults are reported before synthesis", testFaultsAreReportedBeforeSynthesis)
}

// The command that users run needs neither an account nor a network nor Docker. It writes the
// template of the other tests.
func testTheCommandSynthesisesOfflineWithoutAnAccountOrDocker(t *testing.T) {
	out := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "npm", "run", "synth", "--", "--output", out, "-c", "demo=true", "-c", "producer=true")
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "AWS_") && !strings.HasPrefix(variable, "CDK_") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	const nowhere = "http://127.0.0.1:1"
	cmd.Env = append(cmd.Env, noValidation,
		"AWS_CONFIG_FILE="+filepath.Join(out, "none"), "AWS_SHARED_CREDENTIALS_FILE="+filepath.Join(out, "none"),
		"AWS_EC2_METADATA_DISABLED=true", "DOCKER_HOST=tcp://127.0.0.1:1", "GOPROXY=off",
		"HTTP_PROXY="+nowhere, "HTTPS_PROXY="+nowhere, "http_proxy="+nowhere, "https_proxy="+nowhere,
	)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("npm run synth: %v (is node_modules there? make deps)\n%s", err, said)
	}
	data, err := os.ReadFile(filepath.Join(out, "sqsonce.template.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got template
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	want := synthesised(t, "plain").template
	for id, r := range want.Resources {
		r.Metadata = got.Resources[id].Metadata // the command line adds paths
		if !reflect.DeepEqual(got.Resources[id], r) {
			t.Errorf("%s is\n%s\nand in the tests\n%s", id, flat(got.Resources[id]), flat(r))
		}
	}
	if len(got.Resources) != len(want.Resources) {
		t.Errorf("%d resources, in the tests %d", len(got.Resources), len(want.Resources))
	}
}

func testFaultsAreReportedBeforeSynthesis(t *testing.T) {
	out := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "run", "-C", "infra", "./app")
	cmd.Env = append(os.Environ(), "CDK_OUTDIR="+out, `CDK_CONTEXT_JSON={"fifo":"perhaps","minTasks":"-1"}`)
	said, err := cmd.CombinedOutput()
	if _, ok := errors.AsType[*exec.ExitError](err); !ok {
		t.Errorf("it went on: %v", err)
	}
	// go run prints the program's exit code, and exits with 1.
	for _, want := range []string{"3 problems", "fifo perhaps", "minTasks -1", "targetImage", "targetUrl", "demo=true", "exit status 2"} {
		if !strings.Contains(string(said), want) {
			t.Errorf("%q is not in: %s", want, said)
		}
	}
	if files, _ := filepath.Glob(filepath.Join(out, "*")); len(files) > 0 {
		t.Errorf("%q were made", files)
	}
}
