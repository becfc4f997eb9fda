// SPDX-License-Identifier: GPL-2.0-or-later

//go:build linux

package infra

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/e2b-dev/infra/packages/orchestrator/pkg/sandbox"
	"github.com/e2b-dev/infra/packages/orchestrator/pkg/sandbox/network"
	"github.com/e2b-dev/infra/packages/shared/pkg/grpc/orchestrator"

	weft "weft.example/clients/go"
	"weft.example/integrations/e2b"
)

// noProxy is an egress proxy that does nothing.
type noProxy struct{ network.EgressProxy }

// configuration is E2B's default one, with a DSCP for builds.
func configuration() network.Config {
	dscp := uint8(8)
	return network.Config{
		OrchestratorInSandboxIPAddress: "192.0.2.1",
		HyperloopProxyPort:             5010,
		NFSProxyPort:                   5011,
		PortmapperPort:                 5012,
		SandboxTCPFirewallHTTPPort:     5016,
		SandboxTCPFirewallTLSPort:      5017,
		SandboxTCPFirewallOtherPort:    5018,
		BuildSandboxEgressDSCP:         &dscp,
		NetworkVersion:                 Version,
	}
}

func TestStartupReclaimLooksElsewhere(t *testing.T) {
	if _, err := os.Stat(NetnsDir(configuration())); !os.IsNotExist(err) {
		t.Error(err)
	}
	if dir := NetnsDir(network.Config{NetworkVersion: 2}); dir != "" {
		t.Error(dir)
	}
}

// daemon is the weftd that the environment names; a test that needs one is skipped without. The integration tests start it, with
// the sample configuration.
func daemon(t *testing.T) *weft.Client {
	t.Helper()
	if os.Getenv("WEFT_SOCKET") == "" {
		t.Skip("WEFT_SOCKET names no weftd")
	}
	return weft.New(os.Getenv("WEFT_SOCKET"))
}

func background(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func newPool(t *testing.T) *Pool {
	t.Helper()
	pool, err := NewPool(background(t), configuration(), noProxy{})
	if err != nil {
		t.Fatal(err)
	}
	return pool
}

// reaches asks weft's rules.
func reaches(t *testing.T, client *weft.Client, slot *network.Slot, proto, address string, port int) bool {
	t.Helper()
	verdict, err := client.Reach(background(t), slot.Key, weft.Destination{Address: address, Port: port, Proto: proto})
	if err != nil {
		t.Fatal(err)
	}
	return verdict.Allowed
}

func TestWeftdHasASlotOfE2B(t *testing.T) {
	client := daemon(t)
	pool := newPool(t)
	slot, err := pool.Get(background(t), nil, network.EgressClassBuild)
	if err != nil {
		t.Fatal(err)
	}
	sandbox, err := client.Get(background(t), slot.Key)
	if err != nil {
		t.Fatal(err)
	}
	if sandbox.HostIP != slot.HostIPString() || sandbox.NetnsPath != "/run/netns/"+slot.NamespaceID() || *sandbox.Egress.DSCP != 8 {
		t.Errorf("%+v", sandbox)
	}
	released := ""
	if err := pool.ReturnAsync(background(t), slot, func(_ context.Context, ip string) { released = ip }, time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := pool.Close(background(t)); err != nil || released != slot.HostIPString() {
		t.Error(err, released)
	}
	var problem *weft.Problem
	if _, err := client.Get(background(t), slot.Key); !errors.As(err, &problem) || problem.Status != 404 {
		t.Error(err)
	}
	if err := pool.ReturnAsync(background(t), slot, nil, 0); !errors.Is(err, e2b.ErrNotClaimed) {
		t.Error(err)
	}
	if _, err := pool.Get(background(t), nil, network.EgressClassSandbox); err != network.ErrClosed {
		t.Error(err)
	}
}

func TestWeftdCarriesThePolicy(t *testing.T) {
	client := daemon(t)
	pool := newPool(t)
	config := &orchestrator.SandboxNetworkConfig{Egress: &orchestrator.SandboxNetworkEgressConfig{
		AllowedCidrs: []string{"8.8.8.8/32"}, DeniedCidrs: []string{"0.0.0.0/0"}, AllowedDomains: []string{"pypi.org"}}}
	slot, err := pool.Get(background(t), config, network.EgressClassSandbox)
	if err != nil {
		t.Fatal(err)
	}
	expect := func(when string, tcp, dns, other, service bool) {
		t.Helper()
		if is := reaches(t, client, slot, "tcp", "9.9.9.9", 443); is != tcp {
			t.Errorf("%s: TCP to the firewall: %v", when, is)
		}
		if is := reaches(t, client, slot, "udp", "8.8.8.8", 53); is != dns {
			t.Errorf("%s: DNS: %v", when, is)
		}
		if is := reaches(t, client, slot, "udp", "9.9.9.9", 443); is != other {
			t.Errorf("%s: UDP elsewhere: %v", when, is)
		}
		if is := reaches(t, client, slot, "tcp", "192.0.2.1", 80); is != service {
			t.Errorf("%s: hyperloop: %v", when, is)
		}
	}
	expect("claimed", true, true, false, true)
	if err := slot.DenyEgress(background(t)); err != nil {
		t.Fatal(err)
	}
	expect("denied", false, false, false, false)
	if err := slot.UpdateInternet(background(t), nil); err != nil {
		t.Fatal(err)
	}
	expect("open", true, true, true, true)
	refused := &orchestrator.SandboxNetworkEgressConfig{EgressProxyAddress: "proxy.example.com:1080"}
	if err := slot.UpdateInternet(background(t), refused); !errors.Is(err, e2b.ErrProxy) {
		t.Error(err)
	}
	expect("still open", true, true, true, true)
	if _, err := pool.Get(background(t), &orchestrator.SandboxNetworkConfig{Egress: refused}, 0); !errors.Is(err, e2b.ErrProxy) {
		t.Error(err)
	}
	_ = pool.ReturnAsync(background(t), slot, nil, 0)
	if err := pool.Close(background(t)); err != nil {
		t.Error(err)
	}
}

// counter is a hook behind weft's.
type counter struct{ calls int }

func (c *counter) OnNetworkAssign(context.Context, *sandbox.Sandbox, sandbox.NetworkAssignReason) error {
	c.calls++
	return errors.New("the next hook failed")
}

func TestWeftdKnowsASandboxByE2BsName(t *testing.T) {
	client := daemon(t)
	pool := newPool(t)
	next := &counter{}
	start := func(hook sandbox.NetworkAssignHook, reason sandbox.NetworkAssignReason) (*network.Slot, error) {
		slot, err := pool.Get(background(t), nil, network.EgressClassSandbox)
		if err != nil {
			t.Fatal(err)
		}
		sbx := &sandbox.Sandbox{Resources: &sandbox.Resources{Slot: slot}, Metadata: &sandbox.Metadata{
			Runtime: sandbox.RuntimeMetadata{SandboxID: "ip5a2vh1q14ne170jpah6", TemplateID: "base"}}}
		return slot, hook.OnNetworkAssign(background(t), sbx, reason)
	}
	slots := []*network.Slot{}
	for _, reason := range []sandbox.NetworkAssignReason{
		sandbox.NetworkAssignReasonCreate, sandbox.NetworkAssignReasonResume, sandbox.NetworkAssignReasonThrowawayResume} {
		slot, err := start(pool.Hook(nil), reason)
		if err != nil {
			t.Error(reason, err)
		}
		slots = append(slots, slot)
	}
	found, err := client.Get(background(t), "ip5a2vh1q14ne170jpah6")
	if err != nil || found.ID != slots[1].Key || found.Labels["template"] != "base" || found.Labels["reason"] != "resume" {
		t.Error(found, err)
	}
	slot, err := start(pool.Hook(next), sandbox.NetworkAssignReasonResume)
	if err == nil || !strings.Contains(err.Error(), "the next hook failed") || next.calls != 1 {
		t.Error(err)
	}
	for _, slot := range append(slots, slot) {
		_ = pool.ReturnAsync(background(t), slot, nil, 0)
	}
	if err := pool.Close(background(t)); err != nil {
		t.Error(err)
	}
}
