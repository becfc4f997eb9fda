// SPDX-License-Identifier: GPL-2.0-or-later

package e2b

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	weft "weft.example/clients/go"
)

// fakeWeftd answers as weftd does, as far as the pool asks, and fails where a test wants it to.
type fakeWeftd struct {
	socket string

	mu        sync.Mutex
	sandboxes map[string]map[string]any
	calls     []string
	bodies    map[string][]string // by method
	fault     func(method, id string) fault
	options   map[string]any
	cut       bool // a client was gone before its call was served
}

// fault is what becomes of a call.
type fault struct {
	status int           // answered instead of the call; 0: it is served
	cut    bool          // the connection is closed instead of the answer, after the call was served
	until  chan struct{} // the call is served when this is closed
}

func newFakeWeftd(t *testing.T) *fakeWeftd {
	t.Helper()
	fake := &fakeWeftd{
		socket:    filepath.Join(t.TempDir(), "control.sock"),
		sandboxes: map[string]map[string]any{},
		bodies:    map[string][]string{},
		fault:     func(string, string) fault { return fault{} },
		options: map[string]any{
			"redirect":   []string{"80:5016", "443:5017", "*:5018"},
			"allow_host": []string{"192.0.2.1:80=5010", "192.0.2.1:111=5012,proxy-v2"},
			"open":       []string{"10.1.0.0/16"},
		},
	}
	listener, err := net.Listen("unix", fake.socket)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(fake)
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return fake
}

func (f *fakeWeftd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := strings.TrimPrefix(r.URL.Path, "/v1/sandboxes/")
	var body json.RawMessage
	_ = json.NewDecoder(r.Body).Decode(&body)
	f.mu.Lock()
	f.calls = append(f.calls, r.Method+" "+r.URL.Path)
	f.bodies[r.Method] = append(f.bodies[r.Method], string(body))
	wanted := f.fault(r.Method, id)
	f.mu.Unlock()
	if wanted.until != nil {
		<-wanted.until
		select {
		case <-r.Context().Done():
		case <-time.After(50 * time.Millisecond): // the end of a connection shows in no time, but not at once
		}
		f.mu.Lock()
		f.cut = f.cut || r.Context().Err() != nil
		f.mu.Unlock()
	}
	if wanted.status != 0 {
		f.refuse(w, wanted.status)
		return
	}
	f.mu.Lock()
	answer, code := f.serve(r, id, body)
	f.mu.Unlock()
	switch {
	case wanted.cut:
		panic(http.ErrAbortHandler)
	case code >= 400:
		f.refuse(w, code)
	default:
		w.WriteHeader(code)
		if answer != nil {
			_ = json.NewEncoder(w).Encode(answer)
		}
	}
}

func (f *fakeWeftd) refuse(w http.ResponseWriter, code int) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"type": "about:blank", "title": http.StatusText(code), "status": code, "detail": "the fake says so"})
}

func (f *fakeWeftd) serve(r *http.Request, id string, body json.RawMessage) (any, int) {
	switch {
	case r.URL.Path == "/v1/status":
		return f.status(), 200
	case r.URL.Path == "/v1/sandboxes":
		return f.list(r.URL.Query()["label"]), 200
	case r.Method == http.MethodPut:
		if sandbox, there := f.sandboxes[id]; there {
			return sandbox, 200
		}
		f.sandboxes[id] = f.make(id)
		return f.change(id, body)
	}
	id = f.resolve(id)
	if id == "" {
		return nil, 404
	}
	switch r.Method {
	case http.MethodDelete:
		delete(f.sandboxes, id)
		return nil, 204
	case http.MethodPatch:
		return f.change(id, body)
	}
	return f.sandboxes[id], 200
}

func (f *fakeWeftd) make(id string) map[string]any {
	used := map[int]bool{}
	for _, one := range f.sandboxes {
		used[one["slot"].(int)] = true
	}
	slot := 1
	for used[slot] {
		slot++
	}
	return map[string]any{
		"id": id, "name": nil, "slot": slot, "netns": fmt.Sprintf("ns-%d", slot), "netns_path": fmt.Sprintf("/run/netns/ns-%d", slot),
		"tap": "tap0", "veth": fmt.Sprintf("veth-%d", slot), "host_ip": fmt.Sprintf("10.11.0.%d", slot), "state": "waiting",
		"guest":  map[string]any{"ip": "169.254.0.21", "prefix": 30, "gateway": "169.254.0.22", "mac": "02:FC:00:00:00:05"},
		"labels": map[string]any{},
	}
}

// change applies a body and refuses a name that another has.
func (f *fakeWeftd) change(id string, body json.RawMessage) (any, int) {
	var members map[string]any
	_ = json.Unmarshal(body, &members)
	if name, _ := members["name"].(string); name != "" {
		if holder := f.resolve(name); holder != "" && holder != id {
			return nil, 409
		}
	}
	for key, value := range members {
		f.sandboxes[id][key] = value
	}
	return f.sandboxes[id], 200
}

func (f *fakeWeftd) resolve(name string) string {
	if _, there := f.sandboxes[name]; there {
		return name
	}
	for id, one := range f.sandboxes {
		if one["name"] == name {
			return id
		}
	}
	return ""
}

func (f *fakeWeftd) list(labels []string) any {
	all := []any{}
	for _, one := range f.sandboxes {
		has := true
		for _, label := range labels {
			pair := strings.SplitN(label, "=", 2)
			has = has && one["labels"].(map[string]any)[pair[0]] == pair[1]
		}
		if has {
			all = append(all, one)
		}
	}
	return map[string]any{"sandboxes": all}
}

func (f *fakeWeftd) status() any {
	return map[string]any{
		"version": "0.1.0", "state": "running", "sandboxes": map[string]any{}, "not_open": []any{},
		"pool": map[string]any{"ready": 0, "target": 0, "quarantined": 0, "deleting": 0},
		"uses": map[string]any{
			"layouts": []any{map[string]any{"netns_dir": "/run/netns", "netns_prefix": "ns-", "veth_prefix": "veth-", "link_group": 1874,
				"host_cidr": "10.11.0.0/16", "veth_cidr": "10.12.0.0/16"}},
			"options": map[string]any{"egress": f.options},
		},
	}
}

// failing sets what becomes of calls from now on.
func (f *fakeWeftd) failing(how func(method, id string) fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = how
}

// cutOff says whether a client was gone before its call was served.
func (f *fakeWeftd) cutOff() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cut
}

// ids are those of the sandboxes that are there, in order.
func (f *fakeWeftd) ids() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := []string{}
	for id := range f.sandboxes {
		all = append(all, id)
	}
	sort.Strings(all)
	return all
}

// called counts the calls of a method.
func (f *fakeWeftd) called(method string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	count := 0
	for _, call := range f.calls {
		if strings.HasPrefix(call, method+" ") {
			count++
		}
	}
	return count
}

// body is the last body of a method.
func (f *fakeWeftd) body(method string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bodies[method][len(f.bodies[method])-1]
}

// member is a member of a sandbox.
func (f *fakeWeftd) member(id, name string) any {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sandboxes[id][name]
}

func (f *fakeWeftd) pool(t *testing.T, options Options) *Pool {
	t.Helper()
	options.Client = weft.New(f.socket)
	options.Logf = t.Logf
	pool, err := New(background(t), options)
	if err != nil {
		t.Fatal(err)
	}
	return pool
}
