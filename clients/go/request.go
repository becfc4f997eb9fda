// SPDX-License-Identifier: GPL-2.0-or-later

package weft

// What a request says. Optional values are pointers where their zero value means something else than their absence; Ptr makes them.

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
)

// Ptr returns a pointer to a value, for optional members.
func Ptr[T any](value T) *T { return &value }

// A Registration is what Register asks for. The zero value is a sandbox with weftd's defaults.
type Registration struct {
	Name      string     `json:"name,omitempty"` // means the sandbox wherever its id does; "": none
	Ports     []Port     `json:"ports,omitempty"`
	Default   bool       `json:"default,omitempty"`    // the default endpoint leads here; one sandbox at most
	ReadyPort int        `json:"ready_port,omitempty"` // the sandbox is ready when the guest accepts here; 0: at once
	TAPOwner  *TAPOwner  `json:"tap_owner,omitempty"`
	Egress    *Egress    `json:"egress,omitempty"`
	Bandwidth *Bandwidth `json:"bandwidth,omitempty"`
	Limits    *Limits    `json:"limits,omitempty"`
	Door      *Door      `json:"door,omitempty"`
	Wake      *Wake      `json:"wake,omitempty"` // nil: nothing wakes it
	// IdleReportMS is for how long there must be no traffic until an EventIdle says so; 0: never.
	IdleReportMS int64             `json:"idle_report_ms,omitempty"`
	Labels       map[string]string `json:"labels,omitempty"`
}

// A Port is a port of the guest that clients on the host reach.
type Port struct {
	GuestPort int
	// Listen has the addresses to listen on: "ADDR:PORT", "[ADDR6]:PORT", or "localhost:PORT" for both loopback addresses. Without any,
	// weftd chooses a free port, the same on 127.0.0.1 and ::1.
	Listen        []string
	Proto         string // ProtoTCP or ProtoUDP; "": TCP
	Via           string // ViaForwarder or ViaNAT; "": the forwarder
	ProxyProtocol string // ProxyV2, or "": none
}

// Words of a Port and of a Rule.
const (
	ProtoTCP     = "tcp"
	ProtoUDP     = "udp"
	ViaForwarder = "forwarder"
	ViaNAT       = "nat"
	ProxyV2      = "v2"
)

// Which way clients on loopback go: Endpoint.Path, Connection.Path.
const (
	PathForwarder = "forwarder"
	PathKernel    = "kernel"
)

type portObject struct {
	GuestPort     int        `json:"guest_port"`
	Listen        stringList `json:"listen,omitempty"`
	Proto         string     `json:"proto,omitempty"`
	Via           string     `json:"via,omitempty"`
	ProxyProtocol string     `json:"proxy_protocol,omitempty"`
}

// MarshalJSON writes the number alone where that says all.
func (p Port) MarshalJSON() ([]byte, error) {
	if len(p.Listen) == 0 && p.Proto == "" && p.Via == "" && p.ProxyProtocol == "" {
		return json.Marshal(p.GuestPort)
	}
	return json.Marshal(portObject{p.GuestPort, p.Listen, p.Proto, p.Via, p.ProxyProtocol})
}

// UnmarshalJSON reads a number or an object.
func (p *Port) UnmarshalJSON(text []byte) error {
	*p = Port{}
	if json.Unmarshal(text, &p.GuestPort) == nil {
		return nil
	}
	var object portObject
	err := json.Unmarshal(text, &object)
	*p = Port{object.GuestPort, object.Listen, object.Proto, object.Via, object.ProxyProtocol}
	return err
}

// A stringList may be a single string in JSON.
type stringList []string

func (l *stringList) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*l = stringList{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(l))
}

// TAPOwner is who may open the TAP.
type TAPOwner struct {
	UID uint32 `json:"uid"`
	GID uint32 `json:"gid"`
}

// Egress is the policy of what the guest may reach. Allow wins over Deny; the ranges that are always denied win over both.
type Egress struct {
	Internet *bool  `json:"internet,omitempty"` // whether all that no rule names is allowed; nil: as weftd is configured
	Allow    []Rule `json:"allow,omitempty"`
	Deny     []Rule `json:"deny,omitempty"`
	DSCP     *int   `json:"dscp,omitempty"`     // of what the guest sends, 0 to 63; nil: as weftd is configured
	Isolated *bool  `json:"isolated,omitempty"` // true shuts everything, services of the host and DNS too
}

// A Rule names a destination.
type Rule struct {
	CIDR string // an IPv4 network or address
	// Proto is "tcp", "udp", "icmp", "gre", "esp", "ah", "sctp" or a number. Without it, a rule of Allow is for TCP, UDP and ICMP, one of
	// Deny for all protocols.
	Proto string
	Ports []PortRange // with TCP and UDP alone; none: all
}

// A PortRange is a port, or the ports from First to Last.
type PortRange struct {
	First, Last int // Last 0: First alone
}

// Ports makes a list of single ports.
func Ports(ports ...int) []PortRange {
	list := make([]PortRange, len(ports))
	for i, port := range ports {
		list[i].First = port
	}
	return list
}

// MarshalJSON writes 443 or "8000-8099".
func (r PortRange) MarshalJSON() ([]byte, error) {
	if r.Last == 0 || r.Last == r.First {
		return json.Marshal(r.First)
	}
	return json.Marshal(fmt.Sprintf("%d-%d", r.First, r.Last))
}

// UnmarshalJSON reads either.
func (r *PortRange) UnmarshalJSON(text []byte) error {
	*r = PortRange{}
	if json.Unmarshal(text, &r.First) == nil {
		return nil
	}
	var both string
	if err := json.Unmarshal(text, &both); err != nil {
		return err
	}
	if _, err := fmt.Sscanf(both, "%d-%d", &r.First, &r.Last); err != nil {
		return fmt.Errorf("weft: %q is no range of ports", both)
	}
	return nil
}

type ruleObject struct {
	CIDR  string      `json:"cidr"`
	Proto any         `json:"proto,omitempty"` // a word or a number
	Ports []PortRange `json:"ports,omitempty"`
}

// MarshalJSON writes the network alone where that says all.
func (r Rule) MarshalJSON() ([]byte, error) {
	if r.Proto == "" && len(r.Ports) == 0 {
		return json.Marshal(r.CIDR)
	}
	object := ruleObject{r.CIDR, nil, r.Ports}
	if number, err := strconv.Atoi(r.Proto); err == nil {
		object.Proto = number
	} else if r.Proto != "" {
		object.Proto = r.Proto
	}
	return json.Marshal(object)
}

// UnmarshalJSON reads a network or an object.
func (r *Rule) UnmarshalJSON(text []byte) error {
	*r = Rule{}
	if json.Unmarshal(text, &r.CIDR) == nil {
		return nil
	}
	var object ruleObject
	if err := json.Unmarshal(text, &object); err != nil {
		return err
	}
	*r = Rule{CIDR: object.CIDR, Ports: object.Ports}
	switch proto := object.Proto.(type) {
	case string:
		r.Proto = proto
	case float64:
		r.Proto = strconv.Itoa(int(proto))
	}
	return nil
}

// Bandwidth limits what passes.
type Bandwidth struct {
	ToGuest   *Rate `json:"to_guest,omitempty"`
	FromGuest *Rate `json:"from_guest,omitempty"`
}

// A Rate is a limit.
type Rate struct {
	Rate  int64 `json:"rate"`            // bytes a second; 0: no limit
	Burst int64 `json:"burst,omitempty"` // bytes; 0: a tenth of a second's worth
}

// Limits are those of the forwarder's connections; nil: as weftd is configured.
type Limits struct {
	Connections       *int   `json:"connections,omitempty"` // UDP flows count too
	ConnectDeadlineMS *int64 `json:"connect_deadline_ms,omitempty"`
	IdleMS            *int64 `json:"idle_ms,omitempty"` // 0: none
	HalfClosedMS      *int64 `json:"half_closed_ms,omitempty"`
	KeepaliveMS       *int64 `json:"keepalive_ms,omitempty"`
}

// A Door says who may come to the guest by the door of the host, by which HAProxy hands over clients of all sandboxes.
type Door struct {
	Public *bool `json:"public,omitempty"` // whether everybody may come to ports that Ports does not name; nil: as weftd is configured
	// TokenSHA256 is TokenSHA256() of the token that clients show where they must; "": there is none.
	TokenSHA256 string                `json:"token_sha256,omitempty"`
	Ports       map[string]DoorAccess `json:"ports,omitempty"` // by the guest's port: "8080"
}

// DoorAccess says who may come to a port.
type DoorAccess string

// Values of DoorAccess. Port 49983 can be DoorPublic or DoorClosed: envd asks for a token of its own.
const (
	DoorPublic DoorAccess = "public" // everybody
	DoorToken  DoorAccess = "token"  // whoever has the token
	DoorClosed DoorAccess = "closed" // nobody
)

// TokenSHA256 returns what a Door knows of a token. A token should be random: one that can be guessed is found by its hash.
func TokenSHA256(token string) string {
	hash := sha256.Sum256([]byte(token))
	return base64.StdEncoding.EncodeToString(hash[:])
}

// A Wake says what wakes a sandbox while it is paused. Its manager is then asked to resume it, by an EventWake and at [wake] notify of
// weftd.conf. The zero value is for the published ports.
type Wake struct {
	Ports      WakePorts `json:"ports,omitempty"`        // of the guest; none: those that are published
	MinAwakeMS *int64    `json:"min_awake_ms,omitempty"` // how long after a pause nothing wakes it; nil: five seconds
	TimeoutMS  int64     `json:"timeout_ms,omitempty"`   // how long a client is held, and after which the manager is asked again; 0: a minute
	// Never is for a Patch: nothing wakes the sandbox any more.
	Never bool `json:"-"`
}

// MarshalJSON writes null where nothing is to wake the sandbox.
func (w Wake) MarshalJSON() ([]byte, error) {
	if w.Never {
		return []byte("null"), nil
	}
	type plain Wake
	return json.Marshal(plain(w))
}

// WakePorts are ports whose first packet wakes a sandbox: "8080" of TCP, "5353/udp", or one of the words alone.
type WakePorts []string

// Words that stand alone in WakePorts.
const (
	WakePublished = "published"
	WakeAny       = "any"
)

// MarshalJSON writes a list, or the word.
func (p WakePorts) MarshalJSON() ([]byte, error) {
	if len(p) == 1 && (p[0] == WakePublished || p[0] == WakeAny) {
		return json.Marshal(p[0])
	}
	return json.Marshal([]string(p))
}

// UnmarshalJSON reads either.
func (p *WakePorts) UnmarshalJSON(text []byte) error {
	var word string
	if json.Unmarshal(text, &word) == nil {
		*p = WakePorts{word}
		return nil
	}
	var ports []any
	if err := json.Unmarshal(text, &ports); err != nil {
		return err
	}
	*p = make(WakePorts, len(ports))
	for i, port := range ports {
		switch port := port.(type) {
		case string:
			(*p)[i] = port
		case float64:
			(*p)[i] = strconv.Itoa(int(port))
		default:
			return fmt.Errorf("weft: %v is no port that wakes a sandbox", port)
		}
	}
	return nil
}

// A Patch changes a sandbox, all or nothing. What is not given stays. An object that is given replaces the stored one whole: an Egress
// without Allow allows nothing besides.
type Patch struct {
	Name    *string // Ptr(""): none
	Publish []Port
	// Unpublish names ports: "8080", "53/udp" for one protocol alone, or "127.0.0.1:18080" for the port with this address.
	Unpublish []string
	Default   DefaultChange
	Paused    *bool
	Flows     Flows // with Paused false
	Egress    *Egress
	Bandwidth *Bandwidth
	Limits    *Limits
	Door      *Door
	Wake      *Wake // &Wake{Never: true}: nothing wakes it any more
	// IdleReportMS is as in a Registration; Ptr(int64(0)): never.
	IdleReportMS *int64
	Labels       map[string]string // nil: they stay; empty: there are none any more
}

// A DefaultChange says what becomes of the default endpoint; "": nothing.
type DefaultChange string

// The default endpoint leads to the sandbox if no other has it, or not any more, or although another has it: that one loses it in the
// same step.
const (
	DefaultOn   DefaultChange = "true"
	DefaultOff  DefaultChange = "false"
	DefaultTake DefaultChange = "take"
)

// Flows says what becomes of the connections, on both paths, when a sandbox goes on after a pause; "": they are kept.
type Flows string

// Values of Flows.
const (
	FlowsKeep  Flows = "keep"
	FlowsReset Flows = "reset"
)

// repeatable says whether it means the same a second time: a port cannot be published or unpublished twice, and a reset ends later
// connections too.
func (p Patch) repeatable() bool {
	return len(p.Publish) == 0 && len(p.Unpublish) == 0 && p.Flows != FlowsReset
}

// MarshalJSON writes what is given.
func (p Patch) MarshalJSON() ([]byte, error) {
	body := map[string]any{}
	if p.Name != nil {
		body["name"] = p.Name
	}
	if len(p.Publish) > 0 {
		body["publish"] = p.Publish
	}
	if len(p.Unpublish) > 0 {
		ports := make([]any, len(p.Unpublish))
		for i, port := range p.Unpublish {
			ports[i] = port
			if number, err := strconv.Atoi(port); err == nil {
				ports[i] = number
			}
		}
		body["unpublish"] = ports
	}
	switch p.Default {
	case "":
	case DefaultOn, DefaultOff:
		body["default"] = p.Default == DefaultOn
	default:
		body["default"] = p.Default
	}
	if p.Paused != nil {
		body["paused"] = *p.Paused
	}
	if p.Flows != "" {
		body["flows"] = p.Flows
	}
	if p.Egress != nil {
		body["egress"] = p.Egress
	}
	if p.Bandwidth != nil {
		body["bandwidth"] = p.Bandwidth
	}
	if p.Limits != nil {
		body["limits"] = p.Limits
	}
	if p.Door != nil {
		body["door"] = p.Door
	}
	if p.Wake != nil {
		body["wake"] = p.Wake
	}
	if p.IdleReportMS != nil {
		body["idle_report_ms"] = *p.IdleReportMS
	}
	if p.Labels != nil {
		body["labels"] = p.Labels
	}
	return json.Marshal(body)
}
