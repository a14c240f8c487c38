package infra

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// holdsData are the types of resources that are kept.
var holdsData = []string{"AWS::SQS::Queue", "AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::Scheduler::ScheduleGroup"}

func TestKeep(t *testing.T) {
	t.Parallel()
	t.Run("data", func(t *testing.T) {
		each(t, func(t *testing.T, b built) {
			for id, r := range b.template.Resources {
				if !slices.Contains(holdsData, r.Type) {
					continue
				}
				// RetainExceptOnCreate: a failed creation deletes the empty resource.
				onDelete, onReplace := "RetainExceptOnCreate", "Retain"
				if b.config.Throwaway && r.Type != "AWS::S3::Bucket" {
					onDelete, onReplace = "Delete", "Delete"
				}
				if r.DeletionPolicy != onDelete || r.UpdateReplacePolicy != onReplace {
					t.Errorf("%s: DeletionPolicy %q, UpdateReplacePolicy %q; want %q, %q", id, r.DeletionPolicy, r.UpdateReplacePolicy, onDelete, onReplace)
				}
			}
		})
	})
	t.Run("stack", func(t *testing.T) {
		each(t, func(t *testing.T, b built) {
			if b.protected == b.config.Throwaway {
				t.Errorf("throwaway %t: termination protection %t", b.config.Throwaway, b.protected)
			}
		})
	})
	t.Run("failed creation leaves nothing", func(t *testing.T) {
		stack := pairTemplates(t)["firstDeployment"]
		for id, r := range stack.Resources {
			if r.DeletionPolicy == "Retain" || r.Properties["DeletionProtectionEnabled"] == true || r.Properties["DeletionProtection"] == true {
				t.Errorf("%s would stay: DeletionPolicy %q, %s", id, r.DeletionPolicy, flat(r.Properties))
			}
		}
	})
}

// Resources with data keep their logical ids. With another id CloudFormation would replace them.
func TestKeepIDs(t *testing.T) {
	b := synthesised(t, "plain")
	for id, kind := range map[string]string{
		"QueuesMain17D1E10B": "AWS::SQS::Queue", "QueuesDeadC0E868EF": "AWS::SQS::Queue", "TableCD117FA1": "AWS::DynamoDB::Table",
	} {
		if b.template.Resources[id].Type != kind {
			t.Errorf("no %s is called %s: %q", kind, id, sortedKeys(b.template.of(kind)))
		}
	}
}

func TestConfigFile(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	prod := file("prod.json", `{"demo": true, "producer": true, "minTasks": 3, "clients": ["10.0.0.0/8"], "workerEnv": {"SQSONCE_RATE": "5"}}`)
	t.Run("values", func(t *testing.T) {
		c, err := ReadConfig(map[string]any{"config": prod, "maxTasks": "7"})
		if err != nil {
			t.Fatal(err)
		}
		if !c.Demo || c.Scaling.MinTasks != 3 || c.Scaling.MaxTasks != 7 || c.Worker.Env["SQSONCE_RATE"] != "5" {
			t.Errorf("got %+v", c)
		}
	})
	t.Run("context wins", func(t *testing.T) {
		if c, err := ReadConfig(map[string]any{"config": prod, "minTasks": "2"}); err != nil || c.Scaling.MinTasks != 2 {
			t.Errorf("got %+v, %v", c.Scaling, err)
		}
	})
	t.Run("name", func(t *testing.T) {
		_, err := ReadConfig(map[string]any{"config": "none", "demo": true})
		if err == nil || !strings.Contains(err.Error(), "config none: open deploy/none.json") {
			t.Errorf("error is %v", err)
		}
	})
	for name, tc := range map[string]struct{ text, want string }{
		"misspelt":     {`{"demo": true, "minTask": 3}`, "minTask: not a key"},
		"no object":    {`[]`, "prod.json"},
		"no JSON":      {`{`, "prod.json"},
		"another file": {`{"demo": true, "config": "x"}`, "names another file"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ReadConfig(map[string]any{"config": file("prod.json", tc.text), "demo": true})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error is %v, want %q in it", err, tc.want)
			}
		})
	}
}
