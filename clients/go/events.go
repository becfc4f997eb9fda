// SPDX-License-Identifier: GPL-2.0-or-later

package weft

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// An EventType says what an Event is about.
type EventType string

// The types of events. A later weftd may have others.
const (
	EventSnapshot     EventType = "snapshot"     // Object is a sandbox as it is
	EventSnapshotEnd  EventType = "snapshot-end" // all sandboxes have been named
	EventRegistered   EventType = "registered"
	EventState        EventType = "state"   // From, To, Cause, PreviousMS
	EventRenamed      EventType = "renamed" // Name, Former
	EventPublished    EventType = "published"
	EventUnpublished  EventType = "unpublished"
	EventDefault      EventType = "default"  // Default, TakenFrom, TakenBy
	EventDoor         EventType = "door"     // Public, Token, Ports
	EventWake         EventType = "wake"     // Source, DestPort, Proto, Via, Attempt: somebody wants it, resume it
	EventIdle         EventType = "idle"     // IdleMS: it has had no traffic for that long
	EventDenied       EventType = "denied"   // Rule, Proto, Destination, Port
	EventRepair       EventType = "repair"   // What, OK, Error, By
	EventHost         EventType = "host"     // Check, Status, Detail
	EventHandover     EventType = "handover" // Connections, Lost, GapMS
	EventUnregistered EventType = "unregistered"
	EventHeartbeat    EventType = "heartbeat" // each 15 s
	EventOverflow     EventType = "overflow"  // events were lost, and a snapshot follows
	EventStopping     EventType = "stopping"  // weftd stops
)

// An Event is what is, or what changed. Which members it has depends on the type.
type Event struct {
	Seq         uint64    `json:"seq"`
	Boot        string    `json:"boot"` // of this run of weftd; a Seq means nothing in another
	Time        time.Time `json:"time"`
	Type        EventType `json:"type"`
	Sandbox     string    `json:"sandbox"`      // its id; "": the event concerns the host
	SandboxName string    `json:"sandbox_name"` // its name then, if it had one

	Object *Sandbox `json:"object"` // EventSnapshot
	State  State    `json:"state"`
	Slot   int      `json:"slot"` // EventSnapshot, EventRegistered

	From       State  `json:"from"` // EventState
	To         State  `json:"to"`
	Cause      string `json:"cause"`  // one word
	Reason     string `json:"reason"` // why it is failed
	PreviousMS int64  `json:"previous_ms"`

	Name   string `json:"name"`   // EventRenamed: the name that it has now; "": none
	Former string `json:"former"` // the name that it had

	GuestPort int      `json:"guest_port"` // EventPublished, EventUnpublished
	Proto     string   `json:"proto"`
	Listen    []string `json:"listen"`

	Default   bool   `json:"default"`    // EventDefault: whether the default endpoint leads here now
	TakenFrom string `json:"taken_from"` // the sandbox that had it before
	TakenBy   string `json:"taken_by"`   // the sandbox that has it now

	Public bool                  `json:"public"` // EventDoor: as in the sandbox
	Token  bool                  `json:"token"`  // whether there is one
	Ports  map[string]DoorAccess `json:"ports"`

	Source   string `json:"source"`    // EventWake: whose packet, connection or request it was; "": not known
	DestPort int    `json:"dest_port"` // of the guest; 0: Wake was called
	Via      string `json:"via"`       // "kernel", "forwarder", "front-door" or "api"
	Attempt  int    `json:"attempt"`   // one more each time that the manager is asked again

	IdleMS int64 `json:"idle_ms"` // EventIdle

	Rule        string `json:"rule"` // EventDenied
	Destination string `json:"destination"`
	Port        int    `json:"port"`

	What  string       `json:"what"` // EventRepair: the parts that it is about
	OK    bool         `json:"ok"`
	Error string       `json:"error"`
	By    *RouteHolder `json:"by"`

	Check  string `json:"check"` // EventHost
	Status string `json:"status"`
	Detail string `json:"detail"`

	Connections int64 `json:"connections"` // EventHandover
	Lost        int64 `json:"lost"`
	GapMS       int64 `json:"gap_ms"`

	// Raw is the whole event, with members that this package does not know.
	Raw json.RawMessage `json:"-"`
}

// A RouteHolder is another's route or rule that decides instead of a route of weftd's.
type RouteHolder struct {
	Gateway  string `json:"gateway"`
	Device   string `json:"device"`
	Protocol string `json:"protocol"`
	Table    int    `json:"table"`
	Rule     int    `json:"rule"`
}

// EventsOptions choose events.
type EventsOptions struct {
	Sandbox string // of this sandbox alone; "": of all
	// Since and Boot are those of an event after which to go on, from an earlier stream. Boot "": begin with a snapshot.
	Since uint64
	Boot  string
	// Interrupted is called with the reason each time the stream breaks off, before it is opened again; nil: it is not.
	Interrupted func(err error)
}

// A Stream is a stream of events.
type Stream struct {
	// C has the events, in order. It is closed when the context ends or Close is called, or if weftd refuses to go on.
	C <-chan Event

	client  *Client
	options EventsOptions
	events  chan Event
	done    chan struct{}
	cancel  context.CancelFunc
	err     error // valid when C is closed
}

// Events follows what happens. The stream begins with a snapshot: an EventSnapshot for each sandbox, and EventSnapshotEnd.
//
// When weftd is restarted, or the connection breaks off, the stream goes on by itself after the last event, however long that takes.
// Where weftd does not have these events any more, as after its restart, another snapshot comes. A snapshot is always whole: a
// sandbox that it does not have is gone. A reader that is too slow gets EventOverflow, and then a snapshot.
//
// Events returns an error if the stream cannot be opened at first. The caller reads from C until it is closed, or calls Close.
func (c *Client) Events(ctx context.Context, options EventsOptions) (*Stream, error) {
	ctx, cancel := context.WithCancel(ctx)
	events := make(chan Event)
	s := &Stream{C: events, client: c, options: options, events: events, done: make(chan struct{}), cancel: cancel}
	first, err := s.openFirst(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	go s.run(ctx, first)
	return s, nil
}

// Close ends the stream, and returns when C is closed.
func (s *Stream) Close() {
	s.cancel()
	<-s.done
}

// Err returns why C is closed: the context's error after Close too, or weftd's refusal. It waits until C is closed.
func (s *Stream) Err() error {
	<-s.done
	return s.err
}

// A connection of a stream.
type eventReader struct {
	body  io.ReadCloser
	end   context.CancelFunc // of the request
	alive *time.Timer        // ends it if nothing comes
}

func (r *eventReader) close() {
	r.alive.Stop()
	r.end()
	r.body.Close()
}

var errSilent = errors.New("no event came, and no heartbeat")

// open asks for the events after the last one.
func (s *Stream) open(ctx context.Context) (*eventReader, error) {
	query := url.Values{}
	if s.options.Sandbox != "" {
		query.Set("sandbox", s.options.Sandbox)
	}
	if s.options.Boot != "" {
		query.Set("boot", s.options.Boot)
		query.Set("since", strconv.FormatUint(s.options.Since, 10))
	}
	request, cancel := context.WithCancel(ctx)
	alive := time.AfterFunc(s.client.silence, cancel)
	// Nothing else comes over this connection, so none is taken that may be closed already.
	response, err := s.client.open(request, &call{method: http.MethodGet, path: "/v1/events", query: query, once: true})
	if err != nil {
		if !alive.Stop() && ctx.Err() == nil {
			err = &UnreachableError{http.MethodGet, "/v1/events", s.client.where, true, errSilent}
		}
		cancel()
		return nil, err
	}
	return &eventReader{response.Body, cancel, alive}, nil
}

// openFirst opens the stream within the client's patience.
func (s *Stream) openFirst(ctx context.Context) (*eventReader, error) {
	waiting := backOff{patience: s.client.patience}
	for {
		reader, err := s.open(ctx)
		if err == nil {
			return reader, nil
		}
		away, _ := looksAway(err)
		waiting.last = err
		if away && waiting.wait(ctx) {
			continue
		}
		if ctx.Err() != nil {
			err = &contextError{"GET /v1/events", waiting.last, ctx.Err()}
		}
		return nil, err
	}
}

// run reads one connection after the other.
func (s *Stream) run(ctx context.Context, reader *eventReader) {
	defer close(s.done)
	defer close(s.events)
	defer s.cancel()
	waiting := backOff{patience: -1}
	for {
		var err error
		if reader != nil {
			var count int
			count, err = s.read(ctx, reader)
			reader.close()
			if count > 0 {
				waiting = backOff{patience: -1}
			}
			if s.options.Interrupted != nil && ctx.Err() == nil {
				s.options.Interrupted(err)
			}
		}
		if !waiting.wait(ctx) {
			s.err = ctx.Err()
			return
		}
		if reader, err = s.open(ctx); err != nil && lasting(err) {
			s.err = err
			return
		}
	}
}

// lasting says whether weftd refuses to go on. Everything else passes.
func lasting(err error) bool {
	var problem *Problem
	if errors.As(err, &problem) {
		return problem.Status < 500 && problem.Status != http.StatusTooManyRequests
	}
	var version *VersionError
	return errors.As(err, &version)
}

// read passes the events of one connection on until it ends, and counts them. A snapshot is kept back until it is whole.
func (s *Stream) read(ctx context.Context, reader *eventReader) (count int, err error) {
	var snapshot []Event
	lines := bufio.NewReaderSize(reader.body, 64<<10)
	for {
		reader.alive.Reset(s.client.silence)
		line, err := lines.ReadBytes('\n')
		reader.alive.Stop() // a reader that takes long is no silence of weftd's
		if err != nil {     // a line that is cut off is none
			if err != io.EOF && ctx.Err() == nil && errors.Is(err, context.Canceled) {
				err = errSilent
			}
			return count, err
		}
		event := Event{Raw: line[:len(line)-1]}
		if err := json.Unmarshal(line, &event); err != nil {
			return count, s.client.foreign(&call{method: http.MethodGet, path: "/v1/events"}, err)
		}
		if event.Type == EventSnapshot {
			snapshot = append(snapshot, event)
			continue
		}
		if event.Type == EventSnapshotEnd {
			for _, one := range snapshot {
				if !s.pass(ctx, one) {
					return count, ctx.Err()
				}
			}
			snapshot = nil
		}
		if !s.pass(ctx, event) {
			return count, ctx.Err()
		}
		count++
		s.options.Since, s.options.Boot = event.Seq, event.Boot
	}
}

func (s *Stream) pass(ctx context.Context, event Event) bool {
	select {
	case s.events <- event:
		return true
	case <-ctx.Done():
		return false
	}
}
