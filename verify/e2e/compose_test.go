package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/oasdiff/yaml"

	"github.com/sqsonce/sqsonce/internal/emulators"
)

// composeDir is the folder of the compose file, relative to this package.
const composeDir = "../../examples/compose"

// services are the services of the example for Docker Compose.
type services map[string]struct {
	Image               string
	Build               *struct{ Context, Dockerfile string }
	Entrypoint, Command []string
	Environment         map[string]string
	Volumes             []string
	NetworkMode         string         `json:"network_mode"`
	DependsOn           map[string]any `json:"depends_on"`
	StopGrace           string         `json:"stop_grace_period"`
}

// composed reads the example and replaces each of its ports by a free port.
func composed(t *testing.T, ports ...string) (s services, free map[string]string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(composeDir, "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	free = make(map[string]string)
	var replace []string
	for _, port := range ports {
		n, err := emulators.FreePort(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		free[port] = strconv.Itoa(n)
		replace = append(replace, port, free[port])
	}
	var file struct{ Services services }
	if _, err := yaml.Unmarshal([]byte(strings.NewReplacer(replace...).Replace(string(text))), &file, yaml.DecodeOpts{}); err != nil {
		t.Fatal(err)
	}
	return file.Services, free
}

func TestCompose(t *testing.T) {
	t.Run("references", testComposeReferences)
	t.Run("order", testComposeOrder)
	t.Run("variables", testComposeVariables)
	t.Run("whole", testComposeWhole)
}

func testComposeReferences(t *testing.T) {
	s, _ := composed(t)
	for _, name := range []string{"worker", "producer", "app", "emulators"} {
		if _, ok := s[name]; !ok {
			t.Errorf("no service %s", name)
		}
	}
	exists := func(service, path string) {
		if _, err := os.Stat(filepath.Join(composeDir, path)); err != nil {
			t.Errorf("%s: %v", service, err)
		}
	}
	for name, service := range s {
		if (service.Image == "") == (service.Build == nil) {
			t.Errorf("%s: want either an image or a build", name)
		}
		if service.Build != nil {
			exists(name, filepath.Join(service.Build.Context, service.Build.Dockerfile))
		}
		for _, v := range service.Volumes {
			host, _, _ := strings.Cut(v, ":")
			exists(name, host)
		}
		for other := range service.DependsOn {
			if _, ok := s[other]; !ok {
				t.Errorf("%s depends on %s, which does not exist", name, other)
			}
		}
		if other, ok := strings.CutPrefix(service.NetworkMode, "service:"); ok && s[other].Image == "" {
			t.Errorf("%s shares the network of %s, which does not exist", name, other)
		}
	}
}

// testComposeOrder: Compose stops a service before those that it depends on, so the worker ends
// before the app, and both before queue and table.
// https://docs.docker.com/reference/compose-file/services/#depends_on
func testComposeOrder(t *testing.T) {
	s, _ := composed(t)
	for service, after := range map[string][]string{"worker": {"app", "emulators"}, "app": {"emulators"}, "producer": {"emulators"}} {
		for _, other := range after {
			if _, ok := s[service].DependsOn[other]; !ok {
				t.Errorf("%s does not depend on %s, and may be stopped after it", service, other)
			}
		}
	}
}

// A misspelt environment variable would be ignored.
func testComposeVariables(t *testing.T) {
	s, _ := composed(t)
	for service, args := range map[string][]string{"worker": {"--help"}, "producer": {"serve", "--help"}} {
		help, code := run(t, nil, service, args...)
		if code != 0 {
			t.Fatalf("%s %v: exit %d", service, args, code)
		}
		for key := range s[service].Environment {
			known := regexp.MustCompile(`\$` + key + `[,)]`)
			if strings.HasPrefix(key, "SQSONCE_") && !known.MatchString(help) {
				t.Errorf("%s: %s sets nothing", service, key)
			}
		}
	}
	if worker := s["worker"]; worker.StopGrace != worker.Environment["SQSONCE_STOP_TIMEOUT"] {
		t.Errorf("stop_grace_period %s, SQSONCE_STOP_TIMEOUT %s", worker.StopGrace, worker.Environment["SQSONCE_STOP_TIMEOUT"])
	}
}

// testComposeWhole starts the services of the file as processes instead of containers, with the
// same commands and environment variables, and with free ports.
func testComposeWhole(t *testing.T) {
	root, err := emulators.Root()
	if err != nil {
		t.Fatal(err)
	}
	s, ports := composed(t, "4566", "8000", "5000", "8081", "9091")
	variables := func(service string) (env []string) {
		for key, value := range s[service].Environment {
			// A container listens on all addresses, the test on loopback.
			env = append(env, key+"="+strings.Replace(value, "0.0.0.0:", "127.0.0.1:", 1))
		}
		return env
	}

	// The first line of the script installs the servers, which make deps has installed here. The
	// second runs in the background, the last in the foreground.
	script := strings.Split(strings.TrimSpace(s["emulators"].Command[2]), "\n")
	if len(script) != 3 || !strings.HasPrefix(script[0], "npm ci ") {
		t.Fatalf("script %q", script)
	}
	for _, line := range script[1:] {
		words := strings.Fields(strings.TrimSuffix(strings.TrimPrefix(line, "exec "), " &"))
		for i, word := range words {
			if strings.Contains(word, "/") {
				words[i] = filepath.Join(root, word)
			}
		}
		startProgram(t, nil, words[0], words[1:]...)
	}
	for _, port := range []string{"4566", "8000"} {
		eventually(t, "port "+port, func() bool {
			c, err := net.Dial("tcp", "127.0.0.1:"+ports[port])
			if err == nil {
				_ = c.Close()
			}
			return err == nil
		})
	}
	app := slices.Clone(s["app"].Command)
	app[1] = filepath.Join(root, "examples", "python", filepath.Base(app[1]))
	app[3] = filepath.Join(t.TempDir(), "orders.db")
	startProgram(t, variables("app"), app[0], app[1:]...)
	start(t, variables("worker"), "worker", s["worker"].Command...)
	start(t, variables("producer"), strings.TrimPrefix(s["producer"].Entrypoint[0], "/"), s["producer"].Command...)

	api := "http://127.0.0.1:" + ports["8081"]
	eventually(t, "the producer", func() bool {
		resp, err := http.Get(api + "/readyz")
		if err == nil {
			_ = resp.Body.Close()
		}
		return err == nil && resp.StatusCode == http.StatusOK
	})
	if code, _, body := post(t, api, `{"name":"order-17","total":30}`); code != http.StatusAccepted {
		t.Fatalf("%d %s", code, body)
	}
	if r := final(t, api, "order-17"); r.Status != "COMPLETED" || !strings.Contains(string(r.Result), "order-17") {
		t.Errorf("%+v with result %s", r, r.Result)
	}
	out, code := run(t, []string{fmt.Sprintf("SQSONCE_ADMIN_ADDR=127.0.0.1:%s", ports["9091"])}, "worker", "check")
	if code != 0 {
		t.Errorf("worker check: exit %d\n%s", code, out)
	}
}
