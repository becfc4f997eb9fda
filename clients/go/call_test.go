// SPDX-License-Identifier: GPL-2.0-or-later

package weft

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

const aSandbox = `{"id":"a1","name":null,"slot":7,"state":"ready","reason":null,"ready_port":null,"future":{"x":1}}`

// calls has each call of the API, and whether it means the same a second time.
var calls = []struct {
	name   string
	safe   bool
	answer scene
	make   func(ctx context.Context, c *Client) error
}{
	{"List", true, ok(`{"sandboxes":[]}`), func(ctx context.Context, c *Client) error {
		_, err := c.List(ctx, ListOptions{State: StateReady, Labels: map[string]string{"a": "b"}})
		return err
	}},
	{"Register", true, created(aSandbox), func(ctx context.Context, c *Client) error {
		_, err := c.Register(ctx, "a1", Registration{Name: "web"})
		return err
	}},
	{"Get", true, ok(aSandbox), func(ctx context.Context, c *Client) error {
		_, err := c.Get(ctx, "a1")
		return err
	}},
	{"Wait", true, ok(aSandbox), func(ctx context.Context, c *Client) error {
		_, err := c.Wait(ctx, "a1", StateReady)
		return err
	}},
	{"Patch of a policy", true, ok(aSandbox), func(ctx context.Context, c *Client) error {
		_, err := c.Patch(ctx, "a1", Patch{Egress: &Egress{Internet: Ptr(false)}})
		return err
	}},
	{"Patch of a name", true, ok(aSandbox), func(ctx context.Context, c *Client) error {
		_, err := c.Patch(ctx, "a1", Patch{Name: Ptr("b"), Default: DefaultTake, Paused: Ptr(true)})
		return err
	}},
	{"Patch that publishes", false, ok(aSandbox), func(ctx context.Context, c *Client) error {
		_, err := c.Patch(ctx, "a1", Patch{Publish: []Port{{GuestPort: 80}}})
		return err
	}},
	{"Patch that unpublishes", false, ok(aSandbox), func(ctx context.Context, c *Client) error {
		_, err := c.Patch(ctx, "a1", Patch{Unpublish: []string{"80"}})
		return err
	}},
	{"Patch that resets", false, ok(aSandbox), func(ctx context.Context, c *Client) error {
		_, err := c.Patch(ctx, "a1", Patch{Paused: Ptr(false), Flows: FlowsReset})
		return err
	}},
	{"Unregister", true, gone(), func(ctx context.Context, c *Client) error { return c.Unregister(ctx, "a1") }},
	{"Drain", true, always(message(202, APIVersion, "application/json", aSandbox, "")), func(ctx context.Context, c *Client) error {
		_, err := c.Drain(ctx, "a1", time.Second)
		return err
	}},
	{"Diagnose", true, ok(`{"hops":[],"broken":null}`), func(ctx context.Context, c *Client) error {
		_, err := c.Diagnose(ctx, "a1", DiagnoseOptions{To: "192.0.2.1"})
		return err
	}},
	{"Connections", true, ok(`{"connections":[]}`), func(ctx context.Context, c *Client) error {
		_, err := c.Connections(ctx, "a1")
		return err
	}},
	{"Reach", true, ok(`{"allowed":true}`), func(ctx context.Context, c *Client) error {
		_, err := c.Reach(ctx, "a1", Destination{Address: "192.0.2.1", Port: 443, Proto: ProtoTCP})
		return err
	}},
	{"Doctor", true, ok(`{"findings":[],"measured_at":null}`), func(ctx context.Context, c *Client) error {
		_, err := c.Doctor(ctx, true)
		return err
	}},
	{"Rates", true, ok(`{"sandboxes":[]}`), func(ctx context.Context, c *Client) error {
		_, err := c.Rates(ctx, RatesOptions{Since: Ptr(int64(3)), Sandbox: "a1"})
		return err
	}},
	{"Status", true, ok(`{"version":"1"}`), func(ctx context.Context, c *Client) error {
		_, err := c.Status(ctx)
		return err
	}},
	{"Health", true, ok("ok\n"), func(ctx context.Context, c *Client) error { return c.Health(ctx) }},
	{"Metrics", true, ok("weft 1\n"), func(ctx context.Context, c *Client) error {
		_, err := c.Metrics(ctx)
		return err
	}},
}

func TestACallThatMayHaveBeenCarriedOutIsRepeatedWhereThatIsSafe(t *testing.T) {
	ends := map[string]scene{"hangs up": hangsUp, "cuts the head": cutsHead, "cuts the body": cutsBody, "stops": stops}
	for _, one := range calls {
		for how, end := range ends {
			one, end := one, end
			t.Run(one.name+" "+how, func(t *testing.T) {
				t.Parallel()
				f := newFake(t, end, end, one.answer)
				err := one.make(testContext(t), f.client())
				if one.safe {
					if err != nil || f.count() != 3 {
						t.Fatalf("%d requests, then: %v", f.count(), err)
					}
					if f.request(0) != f.request(2) && one.name != "Wait" {
						t.Errorf("%s is repeated as %s", f.request(0), f.request(2))
					}
					return
				}
				var lost *UnreachableError
				var problem *Problem
				if f.count() != 1 || !(errors.As(err, &lost) && lost.Sent || errors.As(err, &problem) && problem.RetryAfter == time.Second) {
					t.Fatalf("%d requests, then: %v", f.count(), err)
				}
			})
		}
	}
}

func TestACallThatWeftdCannotHaveSeenIsRepeatedAlways(t *testing.T) {
	for _, one := range calls {
		one := one
		t.Run(one.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, one.answer)
			f.listener.Close() // which unlinks the socket
			c, dials := f.client(), 0
			for _, client := range []*http.Client{&c.kept, &c.fresh} {
				transport := client.Transport.(*http.Transport)
				dial := transport.DialContext
				transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
					if dials++; dials == 3 {
						f.listen()
					}
					return dial(ctx, network, address)
				}
			}
			if err := one.make(testContext(t), c); err != nil || dials < 3 || f.count() != 1 {
				t.Fatalf("%d dials, %d requests, then: %v", dials, f.count(), err)
			}
		})
	}
}

func TestPatienceEnds(t *testing.T) {
	c := New("/nowhere/weft.sock", WithPatience(50*time.Millisecond))
	_, err := c.Status(testContext(t))
	var lost *UnreachableError
	if !errors.As(err, &lost) || lost.Sent || !strings.Contains(err.Error(), "not reachable at /nowhere/weft.sock") {
		t.Fatal(err)
	}
	f := newFake(t, hangsUp)
	if err = f.client(WithPatience(0)).Health(testContext(t)); !errors.As(err, &lost) || !lost.Sent || f.count() != 1 {
		t.Fatalf("%d requests, then: %v", f.count(), err)
	}
}

func TestASocketThatMayNotBeOpenedIsNoAbsence(t *testing.T) {
	c := New("/nowhere", WithPatience(patience))
	dials := 0
	c.kept.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) {
		dials++
		return nil, &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.EACCES)}
	}
	var lost *UnreachableError
	err := c.Health(testContext(t))
	if !errors.Is(err, fs.ErrPermission) || !errors.As(err, &lost) || lost.Sent || dials != 1 || !strings.Contains(err.Error(), "socket's group") {
		t.Errorf("%d dials, then: %v", dials, err)
	}
}

func TestTheContextEndsACallAndTheErrorSaysWhatWasBefore(t *testing.T) {
	ctx, cancel := context.WithCancel(testContext(t))
	f := newFake(t, stops, func(*http.Request, string) string {
		cancel()
		return cut
	})
	_, err := f.client().Get(ctx, "a1")
	var problem *Problem
	if !errors.Is(err, context.Canceled) || !errors.As(err, &problem) || problem.Status != 503 {
		t.Fatal(err)
	}
}

func TestAShortageIsTheCallersToJudge(t *testing.T) {
	f := newFake(t, refused(503, "no slot is free", ""), created(aSandbox))
	_, err := f.client().Register(testContext(t), "a1", Registration{})
	var problem *Problem
	if !errors.Is(err, ErrUnavailable) || !errors.As(err, &problem) || problem.RetryAfter != 0 || f.count() != 1 {
		t.Fatalf("%d requests, then: %v", f.count(), err)
	}
}

func TestARefusalIsAProblem(t *testing.T) {
	for status, sentinel := range sentinels {
		f := newFake(t, refused(status, "because", ""))
		_, err := f.client().Get(testContext(t), "a/1")
		var problem *Problem
		if !errors.As(err, &problem) || !errors.Is(err, sentinel) || errors.Is(err, context.Canceled) {
			t.Fatalf("%d: %v", status, err)
		}
		if problem.Detail != "because" || problem.Field != "/ports/0" || problem.Path != "/v1/sandboxes/a%2F1" || problem.Method != "GET" {
			t.Errorf("%+v", problem)
		}
		if !strings.HasSuffix(err.Error(), "/ports/0: because") {
			t.Error(err)
		}
	}
	// For want of memory weftd answers without a body.
	f := newFake(t, always("HTTP/1.1 503 Service Unavailable\r\nWeft-Api-Version: 1.1\r\nContent-Length: 0\r\n\r\n"))
	if err := f.client().Health(testContext(t)); !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
}

func TestASandboxThatIsGoneAfterALostAnswerWasUnregistered(t *testing.T) {
	f := newFake(t, hangsUp, refused(404, "no such sandbox", ""))
	if err := f.client().Unregister(testContext(t), "a1"); err != nil || f.count() != 2 {
		t.Error(err)
	}
	f = newFake(t, hangsUp, refused(404, "no such sandbox", ""))
	if sandbox, err := f.client().Drain(testContext(t), "a1", 1500*time.Millisecond); err != nil || sandbox != nil {
		t.Error(sandbox, err)
	}
	if f.request(1) != "DELETE /v1/sandboxes/a1?drain=2 " {
		t.Error(f.request(1))
	}
	f = newFake(t, refused(404, "no such sandbox", ""))
	if err := f.client().Unregister(testContext(t), "a1"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

func TestWhoMadeASandboxIsTold(t *testing.T) {
	f := newFake(t, created(aSandbox), ok(aSandbox))
	c := f.client()
	for _, wanted := range []bool{true, false} {
		if sandbox, err := c.Register(testContext(t), "a1", Registration{}); err != nil || sandbox.Created != wanted || sandbox.Slot != 7 {
			t.Fatalf("%+v %v", sandbox, err)
		}
	}
}

func TestAWaitGoesOnUntilItsContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(testContext(t))
	timeout := refused(408, "it is waiting", "")
	f := newFake(t, timeout, timeout, func(request *http.Request, body string) string {
		cancel()
		return held
	})
	_, err := f.client().Wait(ctx, "a1", StateReady)
	if !errors.Is(err, context.Canceled) || f.count() != 3 {
		t.Fatalf("%d requests, then: %v", f.count(), err)
	}
	if text := err.Error(); !strings.Contains(text, "waiting for a1 to be ready: context canceled") || !strings.Contains(text, "it is waiting") {
		t.Error(text)
	}
	// weftd is to answer before the minute of this context is over.
	if !strings.HasPrefix(f.request(0), "GET /v1/sandboxes/a1?timeout=5") {
		t.Error(f.request(0))
	}
	f = newFake(t, refused(410, "gone", ""))
	if _, err := f.client().Wait(context.Background(), "a1", StateReady); !errors.Is(err, ErrGone) {
		t.Error(err)
	}
	if f.request(0) != "GET /v1/sandboxes/a1?timeout=300&wait=ready " {
		t.Error(f.request(0))
	}
}

func TestAnEmptyIDIsNoRequest(t *testing.T) {
	f := newFake(t, gone())
	if err := f.client().Unregister(testContext(t), ""); err == nil || f.count() != 0 {
		t.Error(err)
	}
	if _, err := f.client().Connections(testContext(t), ""); err == nil || f.count() != 0 {
		t.Error(err)
	}
}

func TestWhatIsNotWeftdIsNamed(t *testing.T) {
	f := newFake(t, always(message(200, "", "text/html", "<html>", "")), always(message(302, "", "text/html", "", "Location: /x\r\n")))
	c := f.client()
	for i := 0; i < 2; i++ {
		if _, err := c.Status(testContext(t)); err == nil || !strings.Contains(err.Error(), "not one of weftd's") {
			t.Error(err)
		}
	}
}

func TestVersions(t *testing.T) {
	answers := func(version string) scene { return always(message(200, version, "application/json", aSandbox, "")) }
	for _, one := range []struct {
		told  string
		check bool // CheckVersion is content
		call  bool // a call is served
	}{
		{APIVersion, true, true}, {"1.999", true, true}, {"", false, true}, {"1.0", false, true}, {"2.0", false, false}, {"x", false, false},
	} {
		c := newFake(t, answers(one.told)).client()
		_, err := c.CheckVersion(testContext(t))
		if (err == nil) != one.check {
			t.Errorf("%q: %v", one.told, err)
		}
		var mismatch *VersionError
		if err != nil && one.told != "x" && (!errors.As(err, &mismatch) || mismatch.Client.String() != APIVersion) {
			t.Errorf("%q: %v", one.told, err)
		}
		if _, err := c.Get(testContext(t), "a1"); (err == nil) != one.call {
			t.Errorf("%q: %v", one.told, err)
		}
	}
	problem := `{"type":"about:blank","title":"Bad Request","status":400,"detail":"unknown field","field":"/name"}`
	c := newFake(t, always(message(400, "", "application/problem+json", problem, ""))).client()
	_, err := c.Register(testContext(t), "a1", Registration{Name: "x"})
	if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "weftd has version 1.0 of the API") {
		t.Error(err)
	}
	for _, wrong := range []string{"", "1", "1.", ".1", "1.2.3", "-1.0", "1.+2", "1.99999999999"} {
		if version, err := ParseVersion(wrong); err == nil {
			t.Errorf("%q is read as %v", wrong, version)
		}
	}
}
