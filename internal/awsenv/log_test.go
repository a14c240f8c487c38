package awsenv

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
)

func TestLog(t *testing.T) {
	t.Run("log format is as configured", testLogFormatIsTheOneAskedFor)
	t.Run("debug lines are logged at debug level", testDebugLinesAreLoggedAtDebugLevel)
	t.Run("only a character device is a terminal", testOnlyACharacterDeviceIsATerminal)
	t.Run("durations are written for people", testDurationsAreWrittenForPeople)
	t.Run("no terminal is commanded", testNoTerminalIsCommanded)
	t.Run("pretty log has no colours off a terminal", testPrettyLogHasNoColoursOffATerminal)
}

func testLogFormatIsTheOneAskedFor(t *testing.T) {
	for format, wantJSON := range map[string]bool{"json": true, "text": false, "auto": true} { // a buffer is no terminal
		var buf bytes.Buffer
		log := Logger(&buf, format, slog.LevelInfo)
		log.Debug("hidden")
		log.Info("shown", "name", "order-17")
		if strings.Contains(buf.String(), "hidden") || !strings.Contains(buf.String(), "order-17") {
			t.Errorf("%s: logged %q", format, buf.String())
		}
		if json.Valid(buf.Bytes()) != wantJSON {
			t.Errorf("%s: logged %q, JSON wanted: %t", format, buf.String(), wantJSON)
		}
	}
}

func testDebugLinesAreLoggedAtDebugLevel(t *testing.T) {
	var buf bytes.Buffer
	Logger(&buf, "text", slog.LevelDebug).Debug("shown")
	if !strings.Contains(buf.String(), "shown") {
		t.Errorf("logged %q", buf.String())
	}
}

func testOnlyACharacterDeviceIsATerminal(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	if IsTerminal(file) {
		t.Error("a regular file was taken for a terminal")
	}
	device, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = device.Close() })
	if !IsTerminal(device) {
		t.Error("a character device was not taken for a terminal")
	}
}

func testDurationsAreWrittenForPeople(t *testing.T) {
	for _, format := range []string{"json", "text", "pretty"} {
		var buf bytes.Buffer
		Logger(&buf, format, slog.LevelInfo).Info("waits", "after", 90*time.Second)
		if !strings.Contains(buf.String(), "1m30s") {
			t.Errorf("%s: logged %q", format, buf.String())
		}
	}
}

func testPrettyLogHasNoColoursOffATerminal(t *testing.T) {
	var buf bytes.Buffer
	Logger(&buf, "pretty", slog.LevelInfo).Warn("shown", "name", "order-17")
	if !strings.Contains(buf.String(), "name=order-17") || strings.Contains(buf.String(), "\x1b") || json.Valid(buf.Bytes()) {
		t.Errorf("logged %q", buf.String())
	}
}

func testNoTerminalIsCommanded(t *testing.T) {
	for _, format := range []string{"json", "text", "pretty"} {
		var buf bytes.Buffer
		const evil = "ü\x1b]0;x\a\u009b31m\x7f\u202e\r\nx"
		Logger(&buf, format, slog.LevelInfo).Info("shown", "name", evil, "bytes", []byte(evil), "error", errors.New(evil))
		line, isOne := strings.CutSuffix(buf.String(), "\n")
		if at := strings.IndexFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }); at >= 0 || !isOne {
			t.Errorf("%s: a control character at byte %d of %q", format, at, buf.String())
		}
		var entry struct{ Name string }
		if err := json.Unmarshal(buf.Bytes(), &entry); format == "json" && (err != nil || entry.Name != evil) {
			t.Errorf("logged %q, %v", buf.String(), err)
		}
	}
}
