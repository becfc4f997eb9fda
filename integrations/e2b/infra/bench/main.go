// SPDX-License-Identifier: GPL-2.0-or-later

//go:build linux

// Bench measures the pool over the weftd that WEFT_SOCKET names, whose configuration is weftd.conf beside the pool, and prints
// the times in milliseconds as JSON. It takes how many slots to claim, for which weftd's own pool is to have room.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"strconv"
	"time"

	"github.com/e2b-dev/infra/packages/orchestrator/pkg/sandbox/network"

	weft "weft.example/clients/go"
	"weft.example/integrations/e2b/infra"
	"weft.example/integrations/e2b/infra/measure"
)

func main() {
	ctx := context.Background()
	single, err := strconv.Atoi(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	client := weft.New(os.Getenv("WEFT_SOCKET"))
	pool, err := infra.NewPool(ctx, network.Config{
		OrchestratorInSandboxIPAddress: "192.0.2.1",
		HyperloopProxyPort:             5010,
		NFSProxyPort:                   5011,
		PortmapperPort:                 5012,
		SandboxTCPFirewallHTTPPort:     5016,
		SandboxTCPFirewallTLSPort:      5017,
		SandboxTCPFirewallOtherPort:    5018,
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	results, err := measure.Pool(ctx, pool, measure.Plan{Single: single, Bursts: []int{20, 100}, Settle: func(slots int) error {
		return settle(ctx, client)
	}})
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(results); err != nil {
		log.Fatal(err)
	}
}

// settle waits until weftd's pool is full and nothing is being taken apart.
func settle(ctx context.Context, client *weft.Client) error {
	for {
		status, err := client.Status(ctx)
		if err != nil {
			return err
		}
		if pool := status.Pool; pool.Ready >= pool.Target && pool.Deleting == 0 && pool.Quarantined == 0 {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
}
