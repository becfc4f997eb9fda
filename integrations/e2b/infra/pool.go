// SPDX-License-Identifier: GPL-2.0-or-later

//go:build linux

// Package infra puts weft's pool behind the interface of E2B's orchestrator. README.md beside the pool lists the lines that an
// operator adds to E2B's code to use it.
package infra

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/e2b-dev/infra/packages/orchestrator/pkg/sandbox/network"
	"github.com/e2b-dev/infra/packages/shared/pkg/grpc/orchestrator"

	weft "weft.example/clients/go"
	"weft.example/integrations/e2b"
)

// Version is the value of NETWORK_VERSION that stands for this pool.
const Version = 3

// Pool is a pool of E2B's slots over weft.
type Pool struct {
	config network.Config
	proxy  network.EgressProxy
	pool   *e2b.Pool
}

var _ network.PoolInterface = (*Pool)(nil)

// NewPool asks the weftd of this host (WEFT_SOCKET, or its usual socket) and checks that its configuration fits. What a former
// orchestrator left in weft is removed, as the orchestrator removes it elsewhere at its start, unless DISABLE_STARTUP_RECLAIM
// is true.
//
// The proxy's OnSlotCreate and OnSlotDelete are not called: weft hands guests' TCP to its ports by [egress] redirect.
func NewPool(ctx context.Context, config network.Config, proxy network.EgressProxy) (*Pool, error) {
	keep, _ := strconv.ParseBool(os.Getenv("DISABLE_STARTUP_RECLAIM"))
	pool, err := e2b.New(ctx, e2b.Options{
		Client:     weft.New(os.Getenv("WEFT_SOCKET")),
		KeepFormer: keep,
		Host:       host(config),
	})
	if err != nil {
		return nil, fmt.Errorf("weft: %w", err)
	}
	return &Pool{config: config, proxy: proxy, pool: pool}, nil
}

// NetnsDir is where the orchestrator's startup reclaim is to look for namespaces of its own. Those of weft are not.
func NetnsDir(config network.Config) string {
	if config.NetworkVersion == Version {
		return "/nonexistent"
	}
	return ""
}

// host says what weftd must have for this configuration.
func host(config network.Config) e2b.Host {
	service := func(port, target uint16) string {
		return fmt.Sprintf("%s:%d=%d", config.OrchestratorInSandboxIPAddress, port, target)
	}
	return e2b.Host{
		HostCIDR:    environment("SANDBOXES_HOST_NETWORK_CIDR", "10.11.0.0/16"),
		VethCIDR:    environment("SANDBOXES_VRT_NETWORK_CIDR", "10.12.0.0/16"),
		NetnsDir:    network.NetNamespacesDir,
		NetnsPrefix: "ns-",
		VethPrefix:  "veth-",
		Redirects: []string{
			fmt.Sprintf("80:%d", config.SandboxTCPFirewallHTTPPort),
			fmt.Sprintf("443:%d", config.SandboxTCPFirewallTLSPort),
			fmt.Sprintf("*:%d", config.SandboxTCPFirewallOtherPort),
		},
		Services: []string{
			service(80, config.HyperloopProxyPort),
			service(111, config.PortmapperPort),
			service(2049, config.NFSProxyPort),
		},
		Open: config.AllowSandboxInternalCIDRs,
	}
}

func environment(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// Get claims a slot.
func (p *Pool) Get(ctx context.Context, config *orchestrator.SandboxNetworkConfig, class network.EgressClass) (*network.Slot, error) {
	egress := policy(config.GetEgress())
	egress.DSCP = int(p.config.EgressDSCP(class))
	claimed, err := p.pool.Get(ctx, egress)
	if err != nil {
		return nil, closed(err)
	}
	slot, err := p.slot(claimed)
	if err != nil {
		// Nobody has seen the slot, so nobody is told that it goes.
		_ = p.pool.ReturnAsync(ctx, claimed.ID, nil, 0)
		return nil, err
	}
	return slot, nil
}

// slot computes the orchestrator's view of a slot, and compares it with weft's.
func (p *Pool) slot(claimed e2b.Slot) (*network.Slot, error) {
	slot, err := network.NewSlot(claimed.ID, claimed.Number, p.config, p.proxy)
	if err != nil {
		return nil, err
	}
	err = claimed.Differences(e2b.Slot{
		Number:      slot.Idx,
		Netns:       slot.NamespaceID(),
		Veth:        slot.VethName(),
		TAP:         slot.TapName(),
		HostIP:      slot.HostIPString(),
		GuestIP:     slot.NamespaceIP(),
		GuestPrefix: slot.TapMask(),
		GuestMAC:    slot.TapMAC(),
		Gateway:     slot.TapIPString(),
	})
	if err != nil {
		return nil, fmt.Errorf("slot %d of weft is not E2B's: %w", claimed.Number, err)
	}
	slot.SetEgress(
		func(ctx context.Context, egress *orchestrator.SandboxNetworkEgressConfig) error {
			return p.pool.SetEgress(ctx, slot.Key, policy(egress))
		},
		func(ctx context.Context) error {
			return p.pool.Deny(ctx, slot.Key)
		})
	return slot, nil
}

// ReturnAsync gives a slot back in the background.
func (p *Pool) ReturnAsync(ctx context.Context, slot *network.Slot, released network.ReleaseNotify, delay time.Duration) error {
	return closed(p.pool.ReturnAsync(ctx, slot.Key, released, delay))
}

// Close waits for all returns that are under way.
func (p *Pool) Close(ctx context.Context) error {
	return p.pool.Close(ctx)
}

// policy translates a policy.
func policy(egress *orchestrator.SandboxNetworkEgressConfig) e2b.Egress {
	return e2b.Egress{
		Allow:      egress.GetAllowedCidrs(),
		Deny:       egress.GetDeniedCidrs(),
		Domains:    egress.GetAllowedDomains(),
		Proxy:      egress.GetEgressProxyAddress(),
		Transforms: len(egress.GetRules()) > 0,
	}
}

// closed makes a closed pool's error the one that the orchestrator knows.
func closed(err error) error {
	if errors.Is(err, e2b.ErrClosed) {
		return network.ErrClosed
	}
	return err
}
