// SPDX-License-Identifier: GPL-2.0-or-later

//go:build linux && e2b

// Own measures the pools that E2B's orchestrator has of its own: own 1 COUNT or own 2 COUNT, after their NETWORK_VERSION. It needs
// E2B's code, which the tag says is there: with-infra --bench builds it. It makes slots, and leaves some behind, so it is to run on a
// host of its own, such as `unshare --net --mount` makes, with a default route and IPv4 forwarding.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/metric/noop"

	"github.com/e2b-dev/infra/packages/orchestrator/pkg/sandbox/network"
	networkv2 "github.com/e2b-dev/infra/packages/orchestrator/pkg/sandbox/network/v2"

	"weft.example/integrations/e2b/infra/measure"
)

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func main() {
	ctx := context.Background()
	count := must(strconv.Atoi(os.Args[2]))
	config := must(network.ParseConfig())
	storage := must(network.NewStorageLocal(ctx, config, network.NewNoopEgressProxy()))
	results := measure.Results{}
	var pool network.PoolInterface
	switch os.Args[1] {
	case "1":
		create(ctx, storage, results, func(slot *network.Slot) error { return slot.CreateNetwork(ctx) })
		v1 := network.NewPool(count, count, storage, config)
		go v1.Populate(ctx)
		pool = v1
	case "2":
		metrics := must(networkv2.NewMetrics(noop.NewMeterProvider()))
		firewall := must(networkv2.NewHostFirewallWithMetrics(network.DefaultGateway(), config, metrics))
		observer := must(networkv2.NewVethObserver())
		create(ctx, storage, results, func(slot *network.Slot) error {
			return networkv2.CreateNetworkV2(ctx, slot, networkv2.NewSlotV2(slot), firewall, observer)
		})
		v2 := networkv2.NewV2Pool(storage, config, firewall, observer)
		go v2.Populate(ctx)
		pool = v2
	}
	// The pools tell nobody how full they are, so that a refill is waited for by the time that it takes at most.
	measured := must(measure.Pool(ctx, pool, measure.Plan{Single: count, Bursts: []int{20}, Settle: func(slots int) error {
		time.Sleep(time.Duration(slots) * 150 * time.Millisecond)
		return nil
	}}))
	for name, value := range results {
		measured[name] = value
	}
	must(0, json.NewEncoder(os.Stdout).Encode(measured))
}

// create times the slots that a pool makes in the background. They are left behind, with the host that they were made on.
func create(ctx context.Context, storage network.Storage, results measure.Results, make func(*network.Slot) error) {
	var samples []float64
	for i := 0; i < 20; i++ {
		slot := must(storage.Acquire(ctx))
		start := time.Now()
		must(0, make(slot))
		samples = append(samples, float64(time.Since(start).Microseconds())/1000)
	}
	results.Add("create", samples)
}
