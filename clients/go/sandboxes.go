// SPDX-License-Identifier: GPL-2.0-or-later

package weft

// The calls of sandboxes. Where they take an id, a sandbox's name will do too, but for Register.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// longestWait is what weftd waits at most, in seconds.
const longestWait = 300

// ListOptions choose sandboxes.
type ListOptions struct {
	State  State             // "": all
	Labels map[string]string // those alone that have all of them
	// WakeAsked is for a manager that was away: those alone that are paused, and that it was asked to resume.
	WakeAsked bool
}

// List returns sandboxes by slot.
func (c *Client) List(ctx context.Context, options ListOptions) ([]Sandbox, error) {
	query := url.Values{}
	if options.State != "" {
		query.Set("state", string(options.State))
	}
	for key, value := range options.Labels {
		query.Add("label", key+"="+value)
	}
	if options.WakeAsked {
		query.Set("wake", "asked")
	}
	var answer struct {
		Sandboxes []Sandbox `json:"sandboxes"`
	}
	err := c.get(ctx, "/v1/sandboxes", query, &answer)
	return answer.Sandboxes, err
}

// Register makes a sandbox's network. It may be called again with the same registration; a different one is ErrConflict.
func (c *Client) Register(ctx context.Context, id string, registration Registration) (*Sandbox, error) {
	sandbox := &Sandbox{}
	_, err := c.do(ctx, &call{
		method: http.MethodPut, path: sandboxPath(id, ""), body: registration,
		accept: func(status int, body io.Reader) error {
			err := json.NewDecoder(body).Decode(sandbox)
			sandbox.Created = status == http.StatusCreated
			return err
		},
	})
	if err != nil {
		return nil, err
	}
	return sandbox, nil
}

// Get returns a sandbox.
func (c *Client) Get(ctx context.Context, id string) (*Sandbox, error) {
	return c.getSandbox(ctx, id, nil)
}

func (c *Client) getSandbox(ctx context.Context, id string, query url.Values) (*Sandbox, error) {
	sandbox := &Sandbox{}
	if err := c.get(ctx, sandboxPath(id, ""), query, sandbox); err != nil {
		return nil, err
	}
	return sandbox, nil
}

// Wait returns the sandbox once it is attached (StateReady will do), ready, detached or paused. It waits until the context ends; the
// error is then context.DeadlineExceeded or context.Canceled. ErrConflict: it can no longer be so, because it is draining or failed;
// ErrGone: it was unregistered meanwhile.
func (c *Client) Wait(ctx context.Context, id string, state State) (*Sandbox, error) {
	var last error // how the sandbox was instead
	for {
		// Whole seconds, rounded down, so that weftd's answer comes before the context ends.
		seconds := longestWait
		if deadline, ok := ctx.Deadline(); ok {
			seconds = int(math.Min(longestWait, math.Max(1, time.Until(deadline).Seconds())))
		}
		query := url.Values{"wait": {string(state)}, "timeout": {strconv.Itoa(seconds)}}
		sandbox, err := c.getSandbox(ctx, id, query)
		late := errors.Is(err, ErrTimeout)
		if late {
			last = err
		}
		if err != nil && last != nil && ctx.Err() != nil {
			return nil, &contextError{fmt.Sprintf("waiting for %s to be %s", id, state), last, ctx.Err()}
		}
		if !late {
			return sandbox, err
		}
	}
}

// Patch changes a sandbox, and returns it as it is then.
func (c *Client) Patch(ctx context.Context, id string, patch Patch) (*Sandbox, error) {
	sandbox := &Sandbox{}
	_, err := c.do(ctx, &call{
		method: http.MethodPatch, path: sandboxPath(id, ""), body: patch, once: !patch.repeatable(), accept: into(sandbox),
	})
	if err != nil {
		return nil, err
	}
	return sandbox, nil
}

// Wake asks a sandbox's manager to resume it, as a packet for it would, and returns at once; Wait then says when it is ready.
// ErrConflict: it is not paused, or has no Wake.
func (c *Client) Wake(ctx context.Context, id string) (*Sandbox, error) {
	sandbox := &Sandbox{}
	_, err := c.do(ctx, &call{method: http.MethodPost, path: sandboxPath(id, "/wake"), accept: into(sandbox)})
	if err != nil {
		return nil, err
	}
	return sandbox, nil
}

// Unregister takes a sandbox's network away, and resets its connections. ErrNotFound: there is no such sandbox.
func (c *Client) Unregister(ctx context.Context, id string) error {
	_, err := c.unregister(ctx, id, nil)
	return err
}

// Drain is Unregister that lets connections end by themselves for some time, of whole seconds. It returns at once, with the
// sandbox as it drains, or with nil if it is gone already.
func (c *Client) Drain(ctx context.Context, id string, duration time.Duration) (*Sandbox, error) {
	seconds := int(math.Ceil(duration.Seconds()))
	return c.unregister(ctx, id, url.Values{"drain": {strconv.Itoa(seconds)}})
}

func (c *Client) unregister(ctx context.Context, id string, query url.Values) (*Sandbox, error) {
	var sandbox *Sandbox
	doubtful, err := c.do(ctx, &call{
		method: http.MethodDelete, path: sandboxPath(id, ""), query: query,
		accept: func(status int, body io.Reader) error {
			if status == http.StatusNoContent {
				return nil
			}
			sandbox = &Sandbox{}
			return json.NewDecoder(body).Decode(sandbox)
		},
	})
	// An attempt whose answer was lost had done it.
	if doubtful && errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return sandbox, nil
}

// DiagnoseOptions change a Diagnose.
type DiagnoseOptions struct {
	To   string // the destination of the hop "egress", an IPv4 address; "": one that is nobody's
	Last bool   // the last diagnosis that was made, instead of a new one
}

// Diagnose looks at the way to the guest, hop by hop.
func (c *Client) Diagnose(ctx context.Context, id string, options DiagnoseOptions) (*Diagnosis, error) {
	query := url.Values{}
	if options.To != "" {
		query.Set("to", options.To)
	}
	if options.Last {
		query.Set("last", "true")
	}
	diagnosis := &Diagnosis{}
	if err := c.get(ctx, sandboxPath(id, "/diagnosis"), query, diagnosis); err != nil {
		return nil, err
	}
	return diagnosis, nil
}

// Connections returns the forwarder's connections of a sandbox.
func (c *Client) Connections(ctx context.Context, id string) ([]Connection, error) {
	var answer struct {
		Connections []Connection `json:"connections"`
	}
	err := c.get(ctx, sandboxPath(id, "/connections"), nil, &answer)
	return answer.Connections, err
}

// A Destination is where a guest would send.
type Destination struct {
	Address string // IPv4
	Port    int    // of TCP and UDP; 0: none
	Proto   string // "tcp", "udp", "icmp", "gre", "esp", "ah", "sctp" or a number; "": TCP
}

// Reach says whether policy lets the guest reach a destination, as the kernel's own rules say.
func (c *Client) Reach(ctx context.Context, id string, destination Destination) (*Verdict, error) {
	query := url.Values{"dest": {destination.Address}}
	if destination.Port != 0 {
		query.Set("port", strconv.Itoa(destination.Port))
	}
	if destination.Proto != "" {
		query.Set("proto", destination.Proto)
	}
	verdict := &Verdict{}
	if err := c.get(ctx, sandboxPath(id, "/reach"), query, verdict); err != nil {
		return nil, err
	}
	return verdict, nil
}
