// SPDX-License-Identifier: GPL-2.0-or-later

//go:build linux

// Package network stands in for the package of this path in E2B's infrastructure: what weft's pool touches, and the lines
// that an operator adds to it (SetEgress). It is for tests alone.
package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/e2b-dev/infra/packages/shared/pkg/grpc/orchestrator"
)

// NetNamespacesDir is where namespaces are bound.
const NetNamespacesDir = "/var/run/netns"

// ErrClosed is the answer of a pool that was closed.
var ErrClosed = errors.New("cannot read from a closed pool")

// ReturnDelay is how long a slot rests before it is given back.
const ReturnDelay = 3 * time.Second

// ReleaseNotify is told that a slot's address belongs to nobody any more.
type ReleaseNotify func(ctx context.Context, ip string)

// EgressClass selects the DSCP of a sandbox.
type EgressClass uint8

// The classes.
const (
	EgressClassSandbox EgressClass = iota
	EgressClassBuild
)

// Config is the network's configuration.
type Config struct {
	OrchestratorInSandboxIPAddress string
	HyperloopProxyPort             uint16
	NFSProxyPort                   uint16
	PortmapperPort                 uint16
	AllowSandboxInternalCIDRs      []string
	SandboxTCPFirewallHTTPPort     uint16
	SandboxTCPFirewallTLSPort      uint16
	SandboxTCPFirewallOtherPort    uint16
	SandboxEgressDSCP              uint8
	BuildSandboxEgressDSCP         *uint8
	NetworkVersion                 int
}

// EgressDSCP returns the DSCP of a class; 0 is none.
func (c Config) EgressDSCP(class EgressClass) uint8 {
	if class == EgressClassBuild && c.BuildSandboxEgressDSCP != nil {
		return *c.BuildSandboxEgressDSCP
	}
	return c.SandboxEgressDSCP
}

// EgressProxy is the proxy that judges what guests open.
type EgressProxy interface {
	CABundle() string
	SupportsBYOP() bool
}

// PoolInterface is a pool of slots.
type PoolInterface interface {
	Get(ctx context.Context, network *orchestrator.SandboxNetworkConfig, class EgressClass) (*Slot, error)
	ReturnAsync(ctx context.Context, slot *Slot, releasedFn ReleaseNotify, returnDelay time.Duration) error
	Close(ctx context.Context) error
}

// Slot is the network of one sandbox.
type Slot struct {
	Key    string
	Idx    int
	HostIP net.IP

	updateEgress func(context.Context, *orchestrator.SandboxNetworkEgressConfig) error
	denyEgress   func(context.Context) error
}

// NewSlot computes the slot of a number.
func NewSlot(key string, idx int, _ Config, _ EgressProxy) (*Slot, error) {
	if idx < 1 || idx > 32766 {
		return nil, fmt.Errorf("slot index %d is out of range [1, 32766]", idx)
	}
	return &Slot{Key: key, Idx: idx, HostIP: net.IPv4(10, 11, byte(idx>>8), byte(idx))}, nil
}

// SetEgress lets others carry the slot's egress policy.
func (s *Slot) SetEgress(update func(context.Context, *orchestrator.SandboxNetworkEgressConfig) error, deny func(context.Context) error) {
	s.updateEgress, s.denyEgress = update, deny
}

// UpdateInternet replaces the policy.
func (s *Slot) UpdateInternet(ctx context.Context, egress *orchestrator.SandboxNetworkEgressConfig) error {
	if s.updateEgress != nil {
		return s.updateEgress(ctx, egress)
	}
	return fmt.Errorf("no firewall attached to slot namespace '%s'", s.NamespaceID())
}

// DenyEgress shuts the guest in.
func (s *Slot) DenyEgress(ctx context.Context) error {
	if s.denyEgress != nil {
		return s.denyEgress(ctx)
	}
	return fmt.Errorf("firewall is not initialized for slot '%s'", s.NamespaceID())
}

// NamespaceID is the namespace's name.
func (s *Slot) NamespaceID() string { return fmt.Sprintf("ns-%d", s.Idx) }

// NamespaceIP is the guest's address.
func (s *Slot) NamespaceIP() string { return "169.254.0.21" }

// VethName is the name of the veth's end on the host.
func (s *Slot) VethName() string { return fmt.Sprintf("veth-%d", s.Idx) }

// HostIPString is the address at which the host reaches the guest.
func (s *Slot) HostIPString() string { return s.HostIP.String() }

// TapName is the TAP's name.
func (s *Slot) TapName() string { return "tap0" }

// TapIPString is the guest's gateway.
func (s *Slot) TapIPString() string { return "169.254.0.22" }

// TapMask is the prefix length of the guest's network.
func (s *Slot) TapMask() int { return 30 }

// TapMAC is the guest's MAC.
func (s *Slot) TapMAC() string { return "02:FC:00:00:00:05" }
