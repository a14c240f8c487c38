package infra

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// inlineLimit is the largest template, in bytes, that a call of CloudFormation accepts.
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
const inlineLimit = 51_200

func TestPlainTemplate(t *testing.T) {
	data, err := PlainTemplate()
	if err != nil {
		t.Fatal(err)
	}
	var plain template
	if err := json.Unmarshal(data, &plain); err != nil {
		t.Fatal(err)
	}
	t.Run("committed", func(t *testing.T) {
		committed, err := os.ReadFile(filepath.Join("deploy", "cloudformation", "worker.json"))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(committed, data) {
			t.Error("deploy/cloudformation/worker.json is not what the app makes: go run -C infra ./plain")
		}
	})
	t.Run("size", func(t *testing.T) {
		if len(data) >= inlineLimit {
			t.Errorf("%d bytes, CloudFormation takes less than %d", len(data), inlineLimit)
		}
	})
	t.Run("parameters", func(t *testing.T) { checkPlainParameters(t, data) })
	t.Run("references", func(t *testing.T) {
		seen := 0
		for _, missing := range dangling(plain, &seen) {
			t.Error(missing)
		}
		if seen < 50 {
			t.Errorf("%d references", seen)
		}
	})
	t.Run("rights", func(t *testing.T) {
		want, got := rightsOf(synthesised(t, "adopt").template.taskRole(t, "worker")), rightsOf(plain.taskRole(t, "worker"))
		want = slices.DeleteFunc(want, func(action string) bool { return slices.Contains(keyActions, action) }) // queueKeyArns is of the app
		if !slices.Equal(got, want) {
			t.Errorf("the worker may\n%q, in the app\n%q", got, want)
		}
	})
	t.Run("variables", func(t *testing.T) {
		adopt := synthesised(t, "adopt")
		want, got := sortedKeys(adopt.variables(t, "worker")), sortedKeys(built{template: plain}.variables(t, "worker"))
		if !slices.Equal(got, want) {
			t.Errorf("the worker gets\n%q, in the app\n%q", got, want)
		}
	})
	t.Run("terraform", func(t *testing.T) {
		module, err := os.ReadFile(filepath.Join("deploy", "terraform", "main.tf"))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`"${path.module}/../cloudformation/worker.json"`, "CAPABILITY_IAM", "aws_cloudformation_stack.worker.outputs"} {
			if !strings.Contains(string(module), want) {
				t.Errorf("%s is not in the module", want)
			}
		}
	})
}

// checkPlainParameters checks that every parameter is used, and that no parameter is missing.
func checkPlainParameters(t *testing.T, data []byte) {
	t.Helper()
	for name := range plainParameters {
		if !regexp.MustCompile(`"Ref":"` + name + `"|\$\{` + name + `\}`).Match(data) {
			t.Errorf("nothing uses %s", name)
		}
	}
	for _, mark := range plainMarks() {
		if bytes.Contains(data, []byte(mark)) {
			t.Errorf("%s is left", mark)
		}
	}
	if bytes.Contains(data, []byte("cdk-bootstrap")) || bytes.Contains(data, []byte("BootstrapVersion")) {
		t.Error("it needs the bootstrap of the CDK")
	}
}

// rightsOf returns the allowed actions, sorted.
func rightsOf(statements []statement) []string {
	var actions []string
	for _, s := range statements {
		actions = append(actions, s.Actions...)
	}
	slices.Sort(actions)
	return slices.Compact(actions)
}

// plainMarks returns the placeholders, none of which may remain in a plain template.
func plainMarks() []string {
	marks := []string{plainSubnet, "000000000000"}
	for _, p := range plainTexts {
		marks = append(marks, p.text)
	}
	return slices.Compact(marks)
}
