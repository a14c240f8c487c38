package target

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestHealth(t *testing.T) {
	t.Run("target is healthy when its health path answers2xx", testTargetIsHealthyWhenItsHealthPathAnswers2xx)
	t.Run("health path that switches protocols is not healthy", testAHealthPathThatSwitchesProtocolsIsNotHealthy)
	t.Run("health path has to be a path", testHealthPathHasToBeAPath)
}

func testTargetIsHealthyWhenItsHealthPathAnswers2xx(t *testing.T) {
	var status atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.RequestURI != "/up?deep=1" || r.Header.Get("Authorization") != "Bearer ticket" {
			t.Errorf("asked for %s %s with %q", r.Method, r.RequestURI, r.Header.Get("Authorization"))
		}
		w.WriteHeader(int(status.Load()))
	}))
	defer srv.Close()
	target, err := New(Config{URL: srv.URL + "/work?x=1", Token: "ticket"})
	if err != nil {
		t.Fatal(err)
	}
	for code, healthy := range map[int]bool{200: true, 204: true, 302: false, 404: false, 503: false} {
		status.Store(int32(code))
		if err := target.Healthy(t.Context(), "/up?deep=1"); (err == nil) != healthy {
			t.Errorf("%d: error is %v", code, err)
		}
	}
	srv.Close()
	if err := target.Healthy(t.Context(), "/up?deep=1"); err == nil {
		t.Error("healthy without a server")
	}
}

func testAHealthPathThatSwitchesProtocolsIsNotHealthy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target, stop := newPiped(t, Config{}, func(w http.ResponseWriter, _ *http.Request) { switchProtocols(t, w) })
		defer stop()
		if err := target.Healthy(t.Context(), "/up"); err == nil || !strings.Contains(err.Error(), "answered 101") {
			t.Errorf("error is %v", err)
		}
	})
}

func testHealthPathHasToBeAPath(t *testing.T) {
	for path, ok := range map[string]bool{
		"/": true, "/up": true, "/up?deep=1": true,
		"up": false, "": false, "http://elsewhere/up": false, "//elsewhere/up": false, "/%zz": false,
	} {
		if err := CheckHealthPath(path); (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "health path") {
			t.Errorf("%q: error is %v", path, err)
		}
	}
}
