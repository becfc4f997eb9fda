// SPDX-License-Identifier: GPL-2.0-or-later

//go:build linux

// Package measure tells what a pool of E2B's orchestrator costs: weft's, or one of the orchestrator's own.
package measure

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"
	"time"

	"github.com/e2b-dev/infra/packages/orchestrator/pkg/sandbox/network"
	"github.com/e2b-dev/infra/packages/shared/pkg/grpc/orchestrator"
)

// Results are times in milliseconds by name.
type Results map[string]float64

// A policy as a user of E2B may have it.
var policy = &orchestrator.SandboxNetworkConfig{Egress: &orchestrator.SandboxNetworkEgressConfig{
	AllowedCidrs: []string{"8.8.8.8/32", "203.0.113.0/24"}, DeniedCidrs: []string{"0.0.0.0/0"}}}

// Another policy, to which that one is changed.
var other = &orchestrator.SandboxNetworkEgressConfig{
	AllowedCidrs: []string{"8.8.8.8/32", "198.51.100.0/24"}, DeniedCidrs: []string{"9.0.0.0/8", "0.0.0.0/0"}}

// Plan says how much to measure.
type Plan struct {
	// Single is how many slots are claimed one after the other.
	Single int
	// Bursts are how many slots are claimed at once.
	Bursts []int
	// Settle waits until the pool has so many slots ready.
	Settle func(slots int) error
}

// Pool measures a pool, which nobody else uses, and closes it.
func Pool(ctx context.Context, pool network.PoolInterface, plan Plan) (Results, error) {
	results := Results{}
	for _, kind := range []struct {
		name   string
		config *orchestrator.SandboxNetworkConfig
	}{{"claim", nil}, {"claim with a policy", policy}} {
		if err := plan.Settle(plan.Single); err != nil {
			return nil, err
		}
		slots, err := claim(ctx, pool, kind.config, plan.Single, results, kind.name)
		if err != nil {
			return nil, err
		}
		if err := change(ctx, slots, results); err != nil {
			return nil, err
		}
		if err := giveBack(ctx, pool, slots); err != nil {
			return nil, err
		}
	}
	for _, count := range plan.Bursts {
		if err := plan.Settle(plan.Single); err != nil {
			return nil, err
		}
		slots, took, err := burst(ctx, pool, count)
		if err != nil {
			return nil, err
		}
		results[fmt.Sprintf("%d at once", count)] = took
		if err := giveBack(ctx, pool, slots); err != nil {
			return nil, err
		}
	}
	return results, remove(ctx, pool, plan, results)
}

// claim claims slots one after the other.
func claim(ctx context.Context, pool network.PoolInterface, config *orchestrator.SandboxNetworkConfig, count int, results Results, name string) ([]*network.Slot, error) {
	var slots []*network.Slot
	var samples []float64
	for i := 0; i < count; i++ {
		start := time.Now()
		slot, err := pool.Get(ctx, config, network.EgressClassSandbox)
		if err != nil {
			return nil, err
		}
		samples = append(samples, milliseconds(start))
		slots = append(slots, slot)
	}
	results.Add(name, samples)
	return slots, nil
}

// change replaces the policy of each slot, and shuts each in.
func change(ctx context.Context, slots []*network.Slot, results Results) error {
	var changed, denied []float64
	for _, slot := range slots {
		start := time.Now()
		if err := slot.UpdateInternet(ctx, other); err != nil {
			return err
		}
		changed = append(changed, milliseconds(start))
		start = time.Now()
		if err := slot.DenyEgress(ctx); err != nil {
			return err
		}
		denied = append(denied, milliseconds(start))
	}
	results.Add("change of policy", changed)
	results.Add("deny all", denied)
	return nil
}

// giveBack returns slots, all at once, and waits until each was released.
func giveBack(ctx context.Context, pool network.PoolInterface, slots []*network.Slot) error {
	var group sync.WaitGroup
	for _, slot := range slots {
		group.Add(1)
		if err := pool.ReturnAsync(ctx, slot, func(context.Context, string) { group.Done() }, 0); err != nil {
			return err
		}
	}
	group.Wait()
	return nil
}

// burst claims many slots at once; the time is that until the last is there.
func burst(ctx context.Context, pool network.PoolInterface, count int) ([]*network.Slot, float64, error) {
	slots := make([]*network.Slot, count)
	failed := make(chan error, count)
	var group sync.WaitGroup
	start := time.Now()
	for i := range slots {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			slot, err := pool.Get(ctx, nil, network.EgressClassSandbox)
			if err != nil {
				failed <- err
			}
			slots[i] = slot
		}(i)
	}
	group.Wait()
	took := milliseconds(start)
	select {
	case err := <-failed:
		return nil, 0, err
	default:
		return slots, took, nil
	}
}

// remove closes the pool and returns slots to it, which are then taken apart before the call returns: one after the other, and
// all others at once.
func remove(ctx context.Context, pool network.PoolInterface, plan Plan, results Results) error {
	if err := plan.Settle(plan.Single); err != nil {
		return err
	}
	slots, err := claim(ctx, pool, nil, plan.Single, results, "claim")
	if err != nil {
		return err
	}
	_ = pool.Close(ctx) // it may complain of the slots, which are claimed
	one := len(slots) / 2
	var samples []float64
	for _, slot := range slots[:one] {
		start := time.Now()
		err := pool.ReturnAsync(ctx, slot, func(context.Context, string) {}, 0)
		if err != nil && !errors.Is(err, network.ErrClosed) { // E2B's pools say that they are closed
			return err
		}
		samples = append(samples, milliseconds(start))
	}
	results.Add("removal", samples)
	var group sync.WaitGroup
	start := time.Now()
	for _, slot := range slots[one:] {
		group.Add(1)
		go func(slot *network.Slot) {
			defer group.Done()
			_ = pool.ReturnAsync(ctx, slot, func(context.Context, string) {}, 0)
		}(slot)
	}
	group.Wait()
	results["removal, many at once, each"] = milliseconds(start) / float64(len(slots)-one)
	return nil
}

func milliseconds(start time.Time) float64 {
	return float64(time.Since(start).Nanoseconds()) / 1e6
}

// Add notes median and 99th percentile.
func (r Results) Add(name string, samples []float64) {
	sort.Float64s(samples)
	r[name+" p50"] = samples[len(samples)/2]
	r[name+" p99"] = samples[(len(samples)*99)/100]
}
