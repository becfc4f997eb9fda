// SPDX-License-Identifier: GPL-2.0-or-later

package weft

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// streamed is an answer with events, one a line, after which the connection ends.
func streamed(lines ...string) scene {
	return always("HTTP/1.1 200 OK\r\nWeft-Api-Version: " + APIVersion + "\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n" +
		strings.Join(lines, "\n") + "\n" + cut)
}

func line(seq int, boot string, kind EventType, sandbox string) string {
	object := ""
	if kind == EventSnapshot {
		object = fmt.Sprintf(`,"state":"ready","slot":7,"object":{"id":%q,"slot":7}`, sandbox)
	}
	return fmt.Sprintf(`{"seq":%d,"boot":%q,"time":"2026-01-14T09:37:00.123Z","type":%q,"sandbox":%q%s,"future":[1]}`, seq, boot, kind, sandbox, object)
}

// take reads events, as "TYPE SANDBOX".
func take(t *testing.T, s *Stream, count int) []string {
	t.Helper()
	var taken []string
	for len(taken) < count {
		select {
		case event, ok := <-s.C:
			if !ok {
				t.Fatalf("the stream ended after %v: %v", taken, s.Err())
			}
			if event.Time.IsZero() || len(event.Raw) == 0 || (event.Object != nil) != (event.Type == EventSnapshot) {
				t.Errorf("%+v", event)
			}
			taken = append(taken, strings.TrimSpace(string(event.Type)+" "+event.Sandbox))
		case <-time.After(patience):
			t.Fatalf("nothing more comes after %v", taken)
		}
	}
	return taken
}

func TestAStreamGoesOnAfterARestart(t *testing.T) {
	f := newFake(t,
		streamed(line(5, "x", EventSnapshot, "a1"), line(5, "x", EventSnapshotEnd, ""), line(6, "x", EventRegistered, "b1"), line(6, "x", EventStopping, "")),
		hangsUp, stops, refused(503, "too many streams", ""), refused(429, "too many streams", ""), cutsHead,
		streamed(line(7, "x", EventState, "b1"), `{"seq":8,"bo`),
		streamed(line(2, "y", EventSnapshot, "b1"), line(2, "y", EventSnapshotEnd, "")),
		streamed(line(3, "y", EventHeartbeat, "")),
	)
	var broken atomic.Int32
	s, err := f.client().Events(testContext(t), EventsOptions{Sandbox: "b1", Interrupted: func(error) { broken.Add(1) }})
	if err != nil {
		t.Fatal(err)
	}
	wanted := []string{"snapshot a1", "snapshot-end", "registered b1", "stopping", "state b1", "snapshot b1", "snapshot-end", "heartbeat", "heartbeat"}
	if taken := take(t, s, len(wanted)); !reflect.DeepEqual(taken, wanted) {
		t.Error(taken)
	}
	s.Close()
	if _, more := <-s.C; more || !errors.Is(s.Err(), context.Canceled) || broken.Load() < 4 {
		t.Error(more, s.Err(), broken.Load())
	}
	for i, query := range []string{"sandbox=b1", "boot=x&sandbox=b1&since=6", "boot=x&sandbox=b1&since=6"} {
		if f.request(i) != "GET /v1/events?"+query+" " {
			t.Error(f.request(i))
		}
	}
	if f.request(7) != "GET /v1/events?boot=x&sandbox=b1&since=7 " || f.request(8) != "GET /v1/events?boot=y&sandbox=b1&since=2 " {
		t.Error(f.request(7), f.request(8))
	}
}

func TestASnapshotIsWhole(t *testing.T) {
	f := newFake(t,
		streamed(line(5, "x", EventSnapshot, "a1"), line(5, "x", EventSnapshot, "gone")),
		streamed(line(2, "y", EventSnapshot, "a1"), line(2, "y", EventSnapshotEnd, "")),
	)
	s, err := f.client().Events(testContext(t), EventsOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if taken := take(t, s, 2); !reflect.DeepEqual(taken, []string{"snapshot a1", "snapshot-end"}) {
		t.Error(taken)
	}
}

func TestAStreamGoesOnFromAGivenEvent(t *testing.T) {
	f := newFake(t, streamed(line(9, "x", EventHeartbeat, "")))
	s, err := f.client().Events(testContext(t), EventsOptions{Since: 8, Boot: "x"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	take(t, s, 1)
	if f.request(0) != "GET /v1/events?boot=x&since=8 " {
		t.Error(f.request(0))
	}
}

func TestAStreamThatIsRefusedIsAnError(t *testing.T) {
	if _, err := newFake(t, refused(403, "not you", "")).client().Events(testContext(t), EventsOptions{}); !errors.Is(err, ErrForbidden) {
		t.Error(err)
	}
	f := newFake(t, streamed(line(5, "x", EventSnapshotEnd, "")), refused(403, "not you any more", ""))
	s, err := f.client().Events(testContext(t), EventsOptions{})
	if err != nil {
		t.Fatal(err)
	}
	take(t, s, 1)
	if _, more := <-s.C; more || !errors.Is(s.Err(), ErrForbidden) {
		t.Error(more, s.Err())
	}
	if _, err := New("/nowhere", WithPatience(time.Millisecond)).Events(testContext(t), EventsOptions{}); err == nil {
		t.Error("a stream from nowhere")
	}
}

// A weftd that has hung, at either of two moments.
func TestASilentStreamIsOpenedAgain(t *testing.T) {
	silent := strings.TrimSuffix(streamed(line(5, "x", EventSnapshotEnd, ""))(nil, ""), cut) + held
	f := newFake(t, always(silent), always(held), streamed(line(6, "x", EventHeartbeat, "")))
	c := f.client()
	c.silence = 200 * time.Millisecond
	var reasons atomic.Value
	s, err := c.Events(testContext(t), EventsOptions{Interrupted: func(err error) { reasons.CompareAndSwap(nil, err.Error()) }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if taken := take(t, s, 2); taken[1] != "heartbeat" || reasons.Load() != errSilent.Error() {
		t.Error(taken, reasons.Load())
	}
}

func TestTheContextEndsAStreamThatNobodyReads(t *testing.T) {
	ctx, cancel := context.WithCancel(testContext(t))
	s, err := newFake(t, streamed(line(5, "x", EventSnapshotEnd, ""))).client().Events(ctx, EventsOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := s.Err(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
