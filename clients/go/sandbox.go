// SPDX-License-Identifier: GPL-2.0-or-later

package weft

import "time"

// A State is where a sandbox stands.
type State string

// The states of a sandbox.
const (
	StateCreating State = "creating"
	StateWaiting  State = "waiting"  // no VM has opened the TAP
	StateAttached State = "attached" // a VM has, and its guest does not accept on the ready port yet
	StateReady    State = "ready"
	StateDetached State = "detached" // the VM closed the TAP
	StatePaused   State = "paused"
	StateDraining State = "draining"
	StateFailed   State = "failed" // a report: Reason says why, and what works goes on
)

// A Sandbox is a sandbox as weftd shows it.
type Sandbox struct {
	ID    string    `json:"id"`
	Name  string    `json:"name"` // "": none
	Slot  int       `json:"slot"`
	State State     `json:"state"`
	Since time.Time `json:"since"`
	// Reason is why it is failed; "": it is not. See docs/openapi.yaml for the causes, and for which of them end by themselves.
	Reason       string            `json:"reason"`
	Netns        string            `json:"netns"`
	NetnsPath    string            `json:"netns_path"`
	TAP          string            `json:"tap"`
	Veth         string            `json:"veth"`
	HostIP       string            `json:"host_ip"`
	Guest        Guest             `json:"guest"`
	Endpoints    []Endpoint        `json:"endpoints"`
	Default      bool              `json:"default"`
	ReadyPort    int               `json:"ready_port"` // 0: none
	Labels       map[string]string `json:"labels"`
	TAPOwner     *TAPOwner         `json:"tap_owner"`
	Egress       Egress            `json:"egress"`
	Bandwidth    Bandwidth         `json:"bandwidth"`
	Limits       Limits            `json:"limits"`
	Door         SandboxDoor       `json:"door"`
	Wake         *SandboxWake      `json:"wake"`           // nil: nothing wakes it
	IdleReportMS int64             `json:"idle_report_ms"` // 0: never
	RegisteredAt time.Time         `json:"registered_at"`
	LastActivity *time.Time        `json:"last_activity"`
	IdleMS       int64             `json:"idle_ms"` // without traffic on either path
	Counters     Counters          `json:"counters"`
	Adopting     bool              `json:"adopting"` // weftd still takes over what a former run left
	// Created says whether Register made it; false: it was registered exactly so before, which an attempt of the same call may have
	// done whose answer was lost. In other answers it is false.
	Created bool `json:"-"`
}

// Endpoint returns the first address that leads to a TCP port of the guest; "": there is none.
func (s *Sandbox) Endpoint(guestPort int) string {
	for _, endpoint := range s.Endpoints {
		if endpoint.GuestPort == guestPort && endpoint.Proto == ProtoTCP && len(endpoint.Listen) > 0 {
			return endpoint.Listen[0]
		}
	}
	return ""
}

// A SandboxDoor says who may come by the door of the host.
type SandboxDoor struct {
	Public      bool                  `json:"public"`
	TokenSHA256 string                `json:"token_sha256"` // "": there is no token, or weftd was asked over TCP
	Ports       map[string]DoorAccess `json:"ports"`
	HostLabel   string                `json:"host_label"` // what leads here in a host name, PORT-LABEL.DOMAIN; "": nothing can
}

// A SandboxWake says what wakes a sandbox while it is paused, and whether its manager was asked to resume it.
type SandboxWake struct {
	Ports      WakePorts  `json:"ports"`
	MinAwakeMS int64      `json:"min_awake_ms"`
	TimeoutMS  int64      `json:"timeout_ms"`
	AskedAt    *time.Time `json:"asked_at"` // nil: it is not paused, or nobody wants it
	By         string     `json:"by"`       // who wanted it first, for people; "": nobody
}

// A Guest is what the VM has to know.
type Guest struct {
	IP      string   `json:"ip"`
	Prefix  int      `json:"prefix"`
	Gateway string   `json:"gateway"`
	MAC     string   `json:"mac"` // "": the manager chooses it
	MTU     int      `json:"mtu"` // 0: not known yet
	DNS     []string `json:"dns"`
	BootArg string   `json:"boot_arg"` // for the command line of its kernel
}

// An Endpoint is a published port.
type Endpoint struct {
	GuestPort     int      `json:"guest_port"`
	Proto         string   `json:"proto"`
	Via           string   `json:"via"`
	Listen        []string `json:"listen"`
	Open          bool     `json:"open"`        // false: clients do not reach it by all these addresses now; weftd tries again each second
	Path          string   `json:"path"`        // PathKernel or PathForwarder: which way a new client on loopback goes
	PathReason    string   `json:"path_reason"` // why not PathKernel, such as "not-answered-yet"; "": it is
	ProxyProtocol string   `json:"proxy_protocol,omitempty"`
}

// Counters count from the registration on.
type Counters struct {
	BytesToGuest     int64 `json:"bytes_to_guest"`
	BytesFromGuest   int64 `json:"bytes_from_guest"`
	PacketsToGuest   int64 `json:"packets_to_guest"`
	PacketsFromGuest int64 `json:"packets_from_guest"`
	ConnectionsTotal int64 `json:"connections_total"`
	ConnectionsOpen  int64 `json:"connections_open"`
	ConnectionsHeld  int64 `json:"connections_held"` // wait for the guest
	DropsTotal       int64 `json:"drops_total"`
}

// A Diagnosis is the way to the guest, hop by hop.
type Diagnosis struct {
	Hops       []Hop      `json:"hops"`
	Broken     string     `json:"broken"` // the first hop that is; "": none
	Cause      string     `json:"cause"`
	NextStep   string     `json:"next_step"`
	MeasuredAt *time.Time `json:"measured_at"` // nil: there was none yet
}

// A Hop is a part of the way.
type Hop struct {
	Hop     string `json:"hop"`
	Status  string `json:"status"` // "ok", "fail", "idle": in order, and not served, or "skipped": not tried
	Subject string `json:"subject"`
	Detail  string `json:"detail"`
}

// Which way a Connection leads.
const (
	DirectionIn  = "in"  // to the guest
	DirectionOut = "out" // from the guest, to a service of the host that weftd connects it to
)

// A Connection is one of the forwarder's, or of a process of the host that is connected to the guest itself.
type Connection struct {
	ID             int64  `json:"id"`
	Endpoint       string `json:"endpoint"` // the address that the client connected to; with DirectionOut that of the service
	Client         string `json:"client"`   // who connected; with DirectionOut the guest
	State          string `json:"state"`
	Direction      string `json:"direction"` // DirectionIn or DirectionOut
	Path           string `json:"path"`      // PathForwarder or PathKernel; the latter without a wait
	BytesToGuest   int64  `json:"bytes_to_guest"`
	BytesFromGuest int64  `json:"bytes_from_guest"`
	AgeMS          int64  `json:"age_ms"`
	ConnectMS      *int64 `json:"connect_ms"` // nil until the other side answered
}

// A Verdict is what policy says of a destination.
type Verdict struct {
	Allowed bool   `json:"allowed"`
	Rule    string `json:"rule"` // that decides; "": none
	Set     string `json:"set"`
}
