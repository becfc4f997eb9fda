// SPDX-License-Identifier: GPL-2.0-or-later

package weft

// The calls of the daemon and its host.

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// A Status is the daemon at a glance.
type Status struct {
	Version      string        `json:"version"`
	API          string        `json:"api"`
	Host         string        `json:"host"`
	State        string        `json:"state"` // "adopting", "running" or "stopping"
	Pool         PoolStatus    `json:"pool"`
	Sandboxes    map[State]int `json:"sandboxes"`
	Connections  int64         `json:"connections"`
	EventReaders int64         `json:"event_readers"` // streams of events over the control socket
	NotOpen      []NotOpen     `json:"not_open"`      // addresses that weftd is to listen on and cannot now
	Uses         Uses          `json:"uses"`
	Handover     *Handover     `json:"handover"` // nil: no connections were handed over, or some wait for their sandbox still
	Door         *DoorStatus   `json:"door"`     // nil: there is none
	Catalog      *Catalog      `json:"catalog"`  // nil: nothing is published

	Loopback *LoopbackStatus `json:"loopback"` // nil: this weftd does not tell
}

// A LoopbackStatus is how clients of loopback endpoints are led past weftd.
type LoopbackStatus struct {
	Mode              string  `json:"mode"` // PathForwarder, PathKernel or "auto", as configured
	Open              bool    `json:"open"` // whether the kernel has weftd's table and programs
	Cgroup            *string `json:"cgroup"`
	IPv6              bool    `json:"ipv6"`
	Entries           int     `json:"entries"`
	Wanted            int     `json:"wanted"`
	Error             *string `json:"error"` // nil: nothing is wrong
	DefaultPath       string  `json:"default_path"`
	DefaultPathReason *string `json:"default_path_reason"`
}

// A PoolStatus counts slots that are made beforehand.
type PoolStatus struct {
	Ready       int `json:"ready"`
	Target      int `json:"target"`
	Quarantined int `json:"quarantined"`
	Deleting    int `json:"deleting"`
}

// A NotOpen is an address that is not listened on.
type NotOpen struct {
	Address string `json:"address"` // of a unix socket its path
	Proto   string `json:"proto"`
	What    string `json:"what"`   // the option that names it, or the sandbox
	Holder  string `json:"holder"` // "": nobody is to blame, or it was not looked for yet
	Error   string `json:"error"`
}

// Uses is what weftd goes by, which its configuration file may no longer say.
type Uses struct {
	Config   string                             `json:"config"` // "": weftd was started without a file
	StateDir string                             `json:"state_dir"`
	Layouts  []Layout                           `json:"layouts"` // the first is that of new slots
	Options  map[string]map[string]OptionValues `json:"options"` // by section and key
}

// OptionValues are those of an option in force, as text of the form that it has in weftd.conf(5).
type OptionValues []string

// UnmarshalJSON reads a text or a list.
func (v *OptionValues) UnmarshalJSON(text []byte) error { return (*stringList)(v).UnmarshalJSON(text) }

// A Layout has the names, the link group and the ranges of slots.
type Layout struct {
	NetnsDir    string `json:"netns_dir"`
	NetnsPrefix string `json:"netns_prefix"`
	VethPrefix  string `json:"veth_prefix"`
	LinkGroup   int    `json:"link_group"`
	HostCIDR    string `json:"host_cidr"`
	VethCIDR    string `json:"veth_cidr"`
}

// A Handover is what became of the connections of weftd's former run.
type Handover struct {
	Connections int64 `json:"connections"` // that went on
	Lost        int64 `json:"lost"`
	GapMS       int64 `json:"gap_ms"` // for how long the last of them stood still
}

// A DoorStatus counts the clients of the door.
type DoorStatus struct {
	Socket      string           `json:"socket"` // its path
	Open        bool             `json:"open"`   // whether weftd listens there
	Connections int64            `json:"connections"`
	Held        int64            `json:"held"`    // of these, without an answer of a guest yet
	Served      int64            `json:"served"`  // those that a guest has answered, ever
	Refused     map[string]int64 `json:"refused"` // ever, by the reason
	Broken      int64            `json:"broken"`  // ever, without a correct header
}

// A Catalog is how the catalogue fares, in which edges find the host of each sandbox.
type Catalog struct {
	Redis     string  `json:"redis"` // where it is
	Up        bool    `json:"up"`
	Published int     `json:"published"`
	Pending   int     `json:"pending"` // entries that it has to take or to remove still
	Foreign   int     `json:"foreign"` // sandboxes of this host whose entry another writer has
	Error     *string `json:"error"`   // nil: nothing is wrong
}

// Status returns the daemon at a glance.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	status := &Status{}
	if err := c.get(ctx, "/v1/status", nil, status); err != nil {
		return nil, err
	}
	return status, nil
}

// Findings are those about the host.
type Findings struct {
	Findings   []Finding  `json:"findings"`
	MeasuredAt *time.Time `json:"measured_at"` // nil: never
}

// A Finding is what a check of the host found.
type Finding struct {
	Check  string `json:"check"`
	Status string `json:"status"` // "ok", "warn", "fail" or "skipped"
	Detail string `json:"detail"`
	Why    string `json:"why"` // it matters
	Fix    string `json:"fix"` // what repairs it
}

// Doctor examines the host, or returns the findings of the last time.
func (c *Client) Doctor(ctx context.Context, last bool) (*Findings, error) {
	query := url.Values{}
	if last {
		query.Set("last", "true")
	}
	findings := &Findings{}
	if err := c.get(ctx, "/v1/doctor", query, findings); err != nil {
		return nil, err
	}
	return findings, nil
}

// Rates are the traffic of each sandbox over the last two minutes.
type Rates struct {
	IntervalMS int64          `json:"interval_ms"` // between two points
	Points     int            `json:"points"`      // that are kept
	Tick       int64          `json:"tick"`        // the number of the newest point
	At         time.Time      `json:"at"`          // when it was measured
	Sandboxes  []SandboxRates `json:"sandboxes"`   // without those that have no traffic and no connections
}

// SandboxRates are those of one. The newest point is the last of a list.
type SandboxRates struct {
	ID              string  `json:"id"`
	Slot            int     `json:"slot"`
	ConnectionsOpen int64   `json:"connections_open"`
	ConnectionsHeld int64   `json:"connections_held"`
	ToGuest         []int64 `json:"to_guest"` // bytes a second
	FromGuest       []int64 `json:"from_guest"`
}

// RatesOptions choose points.
type RatesOptions struct {
	Since   *int64 // those after this tick
	Sandbox string // of this one alone
}

// Rates returns the traffic of each sandbox.
func (c *Client) Rates(ctx context.Context, options RatesOptions) (*Rates, error) {
	query := url.Values{}
	if options.Since != nil {
		query.Set("since", strconv.FormatInt(*options.Since, 10))
	}
	if options.Sandbox != "" {
		query.Set("sandbox", options.Sandbox)
	}
	rates := &Rates{}
	if err := c.get(ctx, "/v1/rates", query, rates); err != nil {
		return nil, err
	}
	return rates, nil
}

// Health returns nil if the daemon's main loop turns.
func (c *Client) Health(ctx context.Context) error {
	_, err := c.text(ctx, "/healthz")
	return err
}

// Metrics returns the metrics in Prometheus' text format.
func (c *Client) Metrics(ctx context.Context) (string, error) { return c.text(ctx, "/metrics") }

func (c *Client) text(ctx context.Context, path string) (string, error) {
	var text []byte
	_, err := c.do(ctx, &call{method: http.MethodGet, path: path, accept: func(_ int, body io.Reader) (err error) {
		text, err = io.ReadAll(body)
		return err
	}})
	return string(text), err
}

var _ json.Unmarshaler = (*OptionValues)(nil)
