// SPDX-License-Identifier: GPL-2.0-or-later

package weft

// Tests against a real weftd, which tests/integration/test_client_go.py starts at WEFT_SOCKET. It serves them as the operator of the host:
// a test writes a line "PLEASE ..." and reads "done".

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http/httptrace"
	"os"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var operator = bufio.NewReader(os.Stdin)

// please lets the operator do something.
func please(t *testing.T, what string) {
	t.Helper()
	fmt.Printf("\nPLEASE %s\n", what)
	if answer, err := operator.ReadString('\n'); err != nil || answer != "done\n" {
		t.Fatalf("%s: the operator says %q %v", what, answer, err)
	}
}

func realClient(t *testing.T) (*Client, context.Context) {
	socket := os.Getenv("WEFT_SOCKET")
	if socket == "" {
		t.Skip("WEFT_SOCKET is not set: tests/integration/test_client_go.py runs this")
	}
	c := New(socket, WithPatience(2*patience))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		sandboxes, err := c.List(ctx, ListOptions{})
		if err != nil {
			t.Error(err)
		}
		for _, sandbox := range sandboxes {
			if err := c.Unregister(ctx, sandbox.ID); err != nil && !errors.Is(err, ErrNotFound) {
				t.Error(err)
			}
		}
	})
	return c, testContext(t)
}

func must[T any](t *testing.T) func(value T, err error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func TestRealRegistration(t *testing.T) {
	c, ctx := realClient(t)
	sandboxOf := must[*Sandbox](t)

	full := Registration{
		Name:      "web-1",
		Ports:     []Port{{GuestPort: 8000}, {GuestPort: 81, Listen: []string{"127.0.0.1:18081"}, ProxyProtocol: ProxyV2}, {GuestPort: 53, Proto: ProtoUDP}},
		Default:   true,
		ReadyPort: 8000,
		TAPOwner:  &TAPOwner{UID: 123, GID: 100},
		Egress: &Egress{
			Internet: Ptr(false),
			Allow: []Rule{{CIDR: "203.0.113.0/24"}, {CIDR: "198.51.100.7/32", Proto: "tcp", Ports: []PortRange{{First: 443}, {First: 8000, Last: 8099}}},
				{CIDR: "198.51.100.8/32", Proto: "gre"}, {CIDR: "198.51.100.9/32", Proto: "200"}},
			Deny: []Rule{{CIDR: "192.0.2.0/24"}},
		},
		Bandwidth: &Bandwidth{ToGuest: &Rate{Rate: 12500000, Burst: 1000000}, FromGuest: &Rate{Rate: 0}},
		Limits:    &Limits{Connections: Ptr(10), ConnectDeadlineMS: Ptr(int64(20000)), IdleMS: Ptr(int64(0)), HalfClosedMS: Ptr(int64(5)), KeepaliveMS: Ptr(int64(1000))},
		Door:      &Door{Public: Ptr(false), TokenSHA256: TokenSHA256("secret"), Ports: map[string]DoorAccess{"80": DoorPublic, "49983": DoorClosed}},
		Labels:    map[string]string{"template": "base", "": ""},
	}
	_, err := c.Register(ctx, "a1", full)
	var problem *Problem
	if !errors.Is(err, ErrInvalid) || !errors.As(err, &problem) || !strings.HasPrefix(problem.Field, "/labels") || problem.Daemon != ours {
		t.Fatal(err)
	}
	delete(full.Labels, "")
	sandbox := sandboxOf(c.Register(ctx, "a1", full))
	if !sandbox.Created || sandbox.ID != "a1" || sandbox.Name != "web-1" || sandbox.State != StateWaiting || sandbox.Slot < 1 || sandbox.Since.IsZero() {
		t.Errorf("%+v", sandbox)
	}
	if !reflect.DeepEqual(sandbox.Egress.Allow, full.Egress.Allow) || !reflect.DeepEqual(sandbox.Egress.Deny, full.Egress.Deny) || *sandbox.Egress.Internet {
		t.Errorf("%+v", sandbox.Egress)
	}
	if !reflect.DeepEqual(sandbox.Labels, full.Labels) || *sandbox.TAPOwner != *full.TAPOwner || !reflect.DeepEqual(&sandbox.Limits, full.Limits) {
		t.Errorf("%+v", sandbox)
	}
	if door := sandbox.Door; door.Public || door.TokenSHA256 != full.Door.TokenSHA256 || !reflect.DeepEqual(door.Ports, full.Door.Ports) || door.HostLabel != "" {
		t.Errorf("%+v", door)
	}
	if *sandbox.Bandwidth.ToGuest != *full.Bandwidth.ToGuest || sandbox.Endpoint(81) != "127.0.0.1:18081" || len(sandbox.Endpoints) != 3 || !sandbox.Endpoints[0].Open {
		t.Errorf("%+v", sandbox)
	}
	if again := sandboxOf(c.Register(ctx, "a1", full)); again.Created || again.Slot != sandbox.Slot {
		t.Errorf("%+v", again)
	}
	if _, err := c.Register(ctx, "a1", Registration{}); !errors.Is(err, ErrConflict) {
		t.Error(err)
	}
	if _, err := c.Register(ctx, "b1", Registration{Name: "web-1"}); !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "/name") || !strings.Contains(err.Error(), "a1") {
		t.Error(err)
	}
	if named := sandboxOf(c.Get(ctx, "web-1")); named.ID != "a1" {
		t.Errorf("%+v", named)
	}
	must[*Sandbox](t)(c.Register(ctx, "b1", Registration{Labels: map[string]string{"template": "other"}}))
	for _, one := range []struct {
		options ListOptions
		count   int
	}{
		{ListOptions{}, 2}, {ListOptions{State: StateReady}, 0}, {ListOptions{State: StateWaiting, Labels: map[string]string{"template": "base"}}, 1},
	} {
		if list := must[[]Sandbox](t)(c.List(ctx, one.options)); len(list) != one.count {
			t.Errorf("%+v: %+v", one.options, list)
		}
	}
	drained, err := c.Drain(ctx, "b1", time.Second)
	if err != nil || drained.State != StateDraining {
		t.Error(drained, err)
	}
	if err := c.Unregister(ctx, "web-1"); err != nil {
		t.Error(err)
	}
	if _, err := c.Get(ctx, "a1"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

func TestRealPatches(t *testing.T) {
	c, ctx := realClient(t)
	sandboxOf := must[*Sandbox](t)
	sandboxOf(c.Register(ctx, "a1", Registration{Ports: []Port{{GuestPort: 80}}, Labels: map[string]string{"a": "b"}}))
	sandboxOf(c.Register(ctx, "b1", Registration{Default: true}))
	patched := func(patch Patch) *Sandbox {
		t.Helper()
		return sandboxOf(c.Patch(ctx, "a1", patch))
	}
	if s := patched(Patch{Publish: []Port{{GuestPort: 81, Listen: []string{"127.0.0.1:18082"}}, {GuestPort: 53, Proto: ProtoUDP}}, Name: Ptr("x")}); len(s.Endpoints) != 3 || s.Name != "x" {
		t.Errorf("%+v", s)
	}
	if s := patched(Patch{Unpublish: []string{"80", "53/udp", "127.0.0.1:18082"}, Name: Ptr("")}); len(s.Endpoints) != 0 || s.Name != "" {
		t.Errorf("%+v", s)
	}
	if _, err := c.Patch(ctx, "a1", Patch{Default: DefaultOn}); !errors.Is(err, ErrConflict) {
		t.Error(err)
	}
	if s := patched(Patch{Default: DefaultTake}); !s.Default {
		t.Errorf("%+v", s)
	}
	if s := patched(Patch{Default: DefaultOff, Labels: map[string]string{}}); s.Default || len(s.Labels) != 0 {
		t.Errorf("%+v", s)
	}
	if s := patched(Patch{Egress: &Egress{Internet: Ptr(false)}, Bandwidth: &Bandwidth{FromGuest: &Rate{Rate: 1000000}}, Limits: &Limits{Connections: Ptr(3)}}); *s.Egress.Internet || s.Bandwidth.FromGuest.Rate != 1000000 || *s.Limits.Connections != 3 {
		t.Errorf("%+v", s)
	}
	if s := patched(Patch{Door: &Door{Ports: map[string]DoorAccess{"80": DoorClosed}}}); !s.Door.Public || s.Door.TokenSHA256 != "" || s.Door.Ports["80"] != DoorClosed {
		t.Errorf("%+v", s)
	}
	verdict := must[*Verdict](t)(c.Reach(ctx, "a1", Destination{Address: "198.51.100.1", Port: 443}))
	if verdict.Allowed || verdict.Rule == "" {
		t.Errorf("%+v", verdict)
	}
	if s := patched(Patch{Paused: Ptr(true)}); s.State != StatePaused {
		t.Errorf("%+v", s)
	}
	if s := sandboxOf(c.Wait(ctx, "a1", StatePaused)); s.State != StatePaused {
		t.Errorf("%+v", s)
	}
	if _, err := c.Wake(ctx, "a1"); !errors.Is(err, ErrConflict) {
		t.Error(err) // nothing wakes it
	}
	if s := patched(Patch{Wake: &Wake{Ports: WakePorts{"80", "53/udp"}, MinAwakeMS: Ptr(int64(0))}, IdleReportMS: Ptr(int64(60000))}); s.Wake == nil || !reflect.DeepEqual(s.Wake.Ports, WakePorts{"80", "53/udp"}) || s.Wake.AskedAt != nil || s.IdleReportMS != 60000 {
		t.Errorf("%+v", s)
	}
	if s := sandboxOf(c.Wake(ctx, "a1")); s.State != StatePaused || s.Wake.AskedAt == nil || s.Wake.By != "api" {
		t.Errorf("%+v", s)
	}
	if list := must[[]Sandbox](t)(c.List(ctx, ListOptions{WakeAsked: true})); len(list) != 1 || list[0].ID != "a1" {
		t.Errorf("%+v", list)
	}
	if s := patched(Patch{Wake: &Wake{Never: true}}); s.Wake != nil {
		t.Errorf("%+v", s)
	}
	if s := patched(Patch{Paused: Ptr(false), Flows: FlowsReset}); s.State != StateWaiting {
		t.Errorf("%+v", s)
	}
}

func TestRealReads(t *testing.T) {
	c, ctx := realClient(t)
	version := must[Version](t)(c.CheckVersion(ctx))
	if version != ours {
		t.Error(version)
	}
	must[*Sandbox](t)(c.Register(ctx, "a1", Registration{}))
	status := must[*Status](t)(c.Status(ctx))
	if status.API != APIVersion || status.State != "running" || status.Sandboxes[StateWaiting] != 1 || len(status.Uses.Layouts) == 0 || status.Uses.Options["names"]["link_group"] == nil {
		t.Errorf("%+v", status)
	}
	diagnosis := must[*Diagnosis](t)(c.Diagnose(ctx, "a1", DiagnoseOptions{}))
	if diagnosis.Broken != "tap" || len(diagnosis.Hops) == 0 || diagnosis.MeasuredAt == nil || diagnosis.NextStep == "" {
		t.Errorf("%+v", diagnosis)
	}
	if last := must[*Diagnosis](t)(c.Diagnose(ctx, "a1", DiagnoseOptions{Last: true})); !last.MeasuredAt.Equal(*diagnosis.MeasuredAt) {
		t.Errorf("%+v", last)
	}
	if _, err := c.Diagnose(ctx, "a1", DiagnoseOptions{To: "nowhere"}); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	published := must[*Sandbox](t)(c.Patch(ctx, "a1", Patch{Publish: []Port{{GuestPort: 80}}}))
	client := must[net.Conn](t)(net.Dial("tcp", published.Endpoint(80)))
	defer client.Close()
	var held []Connection
	for len(held) == 0 && ctx.Err() == nil { // a worker accepts it in its own time
		held = must[[]Connection](t)(c.Connections(ctx, "a1"))
	}
	if len(held) == 0 {
		t.Fatal(ctx.Err())
	}
	if one := held[0]; one.Direction != DirectionIn || one.Client != client.LocalAddr().String() || one.Endpoint != published.Endpoint(80) || one.ConnectMS != nil {
		t.Errorf("%+v", one)
	}
	if findings := must[*Findings](t)(c.Doctor(ctx, false)); len(findings.Findings) == 0 {
		t.Errorf("%+v", findings)
	}
	if rates := must[*Rates](t)(c.Rates(ctx, RatesOptions{Sandbox: "a1"})); rates.Points != 60 {
		t.Errorf("%+v", rates)
	}
	if metrics := must[string](t)(c.Metrics(ctx)); !strings.Contains(metrics, "weft_build_info{") {
		t.Error(metrics)
	}
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if _, err := c.Wait(short, "a1", StateReady); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// A frozen weftd has got requests and carried none out. Then it is killed, or asked to stop, and its next run is started.
func TestRealRestartInTheMidstOfEachCall(t *testing.T) {
	for _, way := range []string{"kill", "stop"} {
		t.Run(way, func(t *testing.T) {
			c, ctx := realClient(t)
			for _, id := range []string{"a1", "unsafe", "gone", "drained", "waited", "looked-at"} {
				must[*Sandbox](t)(c.Register(ctx, id, Registration{}))
			}
			stream := must[*Stream](t)(c.Events(ctx, EventsOptions{}))
			defer stream.Close()
			take(t, stream, 7)

			please(t, "freeze")
			var sent atomic.Int32
			traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { sent.Add(1) }})
			results := map[string]error{}
			var mutex sync.Mutex
			var group sync.WaitGroup
			begin := func(name string, call func() error) {
				group.Add(1)
				go func() {
					defer group.Done()
					err := call()
					mutex.Lock()
					defer mutex.Unlock()
					results[name] = err
				}()
			}
			begun := 0
			for _, one := range calls {
				// Those that are about other sandboxes follow.
				if one.safe && !strings.Contains("Register Wait Unregister Drain Diagnose", one.name) {
					begun++
					one := one
					begin(one.name, func() error { return one.make(traced, c) })
				}
			}
			var made *Sandbox
			for name, call := range map[string]func() error{
				"Register": func() (err error) {
					made, err = c.Register(traced, "new", Registration{Name: "brand-new"})
					return err
				},
				"Unregister": func() error { return c.Unregister(traced, "gone") },
				"Drain": func() error {
					_, err := c.Drain(traced, "drained", time.Second)
					return err
				},
				"Wait": func() error {
					_, err := c.Wait(traced, "waited", StateAttached)
					return err
				},
				"Diagnose": func() error { // which is refused while the sandbox changes
					_, err := c.Diagnose(traced, "looked-at", DiagnoseOptions{})
					return err
				},
				"unsafe": func() error {
					_, err := c.Patch(traced, "unsafe", Patch{Publish: []Port{{GuestPort: 80}}})
					return err
				},
				"Events": func() error {
					other, err := c.Events(traced, EventsOptions{})
					if err == nil {
						other.Close()
					}
					return err
				},
			} {
				begun++
				begin(name, call)
			}
			for end := time.Now().Add(patience); int(sent.Load()) < begun; time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("%d of %d requests are sent", sent.Load(), begun)
				}
			}
			please(t, way)
			please(t, "attach waited")
			group.Wait()

			for name, err := range results {
				if err != nil && name != "unsafe" {
					t.Errorf("%s: %v", name, err)
				}
			}
			unsafe := must[*Sandbox](t)(c.Get(ctx, "unsafe"))
			var lost *UnreachableError
			var problem *Problem
			switch err := results["unsafe"]; {
			case err == nil:
				if way == "kill" || len(unsafe.Endpoints) != 1 {
					t.Errorf("%+v", unsafe)
				}
			case errors.As(err, &lost) && lost.Sent, errors.As(err, &problem) && problem.RetryAfter > 0:
				if way == "kill" && len(unsafe.Endpoints) != 0 {
					t.Errorf("%+v", unsafe)
				}
			default:
				t.Error(err)
			}
			if made == nil || made.ID != "new" || made.Name != "brand-new" {
				t.Errorf("%+v", made)
			}
			if _, err := c.Get(ctx, "gone"); !errors.Is(err, ErrNotFound) {
				t.Error(err)
			}
			awaitSnapshot(t, stream)
		})
	}
}

// awaitSnapshot reads until a whole snapshot came in which there is the sandbox "a1", and not "gone".
func awaitSnapshot(t *testing.T, stream *Stream) {
	t.Helper()
	there := map[string]bool{}
	for event := range stream.C {
		switch event.Type {
		case EventSnapshot:
			there[event.Sandbox] = true
		case EventUnregistered:
			delete(there, event.Sandbox)
		case EventSnapshotEnd:
			if !there["a1"] {
				t.Errorf("the snapshot has %v", there)
			}
			return
		}
	}
	t.Fatal(stream.Err())
}

func TestRealEventsOfASandbox(t *testing.T) {
	c, ctx := realClient(t)
	must[*Sandbox](t)(c.Register(ctx, "b1", Registration{}))
	stream := must[*Stream](t)(c.Events(ctx, EventsOptions{}))
	defer stream.Close()
	take(t, stream, 2)
	must[*Sandbox](t)(c.Register(ctx, "a1", Registration{Name: "x", Ports: []Port{{GuestPort: 80, Listen: []string{"127.0.0.1:18083"}}}}))
	must[*Sandbox](t)(c.Patch(ctx, "a1", Patch{Name: Ptr("y"), Unpublish: []string{"80"}, Default: DefaultOn}))
	please(t, "attach a1")
	must[*Sandbox](t)(c.Wait(ctx, "a1", StateReady))
	if err := c.Unregister(ctx, "a1"); err != nil {
		t.Fatal(err)
	}
	seen := map[EventType]Event{}
	for event := range stream.C {
		if event.Type != EventHeartbeat && event.Sandbox != "a1" {
			t.Errorf("%s", event.Raw)
		}
		if event.Type != EventState || event.To == StateReady {
			seen[event.Type] = event
		}
		if event.Type == EventUnregistered {
			break
		}
	}
	for kind, right := range map[EventType]func(e Event) bool{
		EventRegistered: func(e Event) bool { return e.Slot > 0 && e.SandboxName == "x" },
		EventRenamed:    func(e Event) bool { return e.Name == "y" && e.Former == "x" },
		EventUnpublished: func(e Event) bool {
			return e.GuestPort == 80 && e.Proto == ProtoTCP && reflect.DeepEqual(e.Listen, []string{"127.0.0.1:18083"})
		},
		EventDefault:      func(e Event) bool { return e.Default },
		EventState:        func(e Event) bool { return e.From == StateWaiting && e.To == StateReady && e.Cause != "" },
		EventUnregistered: func(e Event) bool { return e.SandboxName == "y" },
	} {
		if event, found := seen[kind]; !found || !right(event) {
			t.Errorf("%s: %s", kind, event.Raw)
		}
	}
}

func TestRealClientIsForManyGoroutines(t *testing.T) {
	c, ctx := realClient(t)
	var group sync.WaitGroup
	for i := 0; i < 24; i++ {
		id := fmt.Sprintf("many-%d", i)
		group.Add(1)
		go func() {
			defer group.Done()
			_, err := c.Register(ctx, id, Registration{})
			if err == nil {
				_, err = c.Patch(ctx, id, Patch{Name: Ptr("n-" + id)})
			}
			if err == nil {
				err = c.Unregister(ctx, "n-"+id)
			}
			if err != nil {
				t.Error(err)
			}
		}()
	}
	group.Wait()
}

func TestRealReadersOverTCP(t *testing.T) {
	writer, ctx := realClient(t)
	must[*Sandbox](t)(writer.Register(ctx, "a1", Registration{}))
	c := New(os.Getenv("WEFT_HTTP") + "/")
	if list := must[[]Sandbox](t)(c.List(ctx, ListOptions{})); len(list) != 1 || list[0].ID != "a1" {
		t.Errorf("%+v", list)
	}
	var problem *Problem
	if err := c.Unregister(ctx, "a1"); !errors.As(err, &problem) || problem.Status != 405 {
		t.Error(err)
	}
	if _, err := c.Wait(ctx, "a1", StateReady); !errors.Is(err, ErrForbidden) {
		t.Error(err)
	}
	stream := must[*Stream](t)(c.Events(ctx, EventsOptions{Sandbox: "a1"}))
	take(t, stream, 2)
	stream.Close()
}
