// SPDX-License-Identifier: GPL-2.0-or-later

package e2b

import (
	"context"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	weft "weft.example/clients/go"
)

// The integration tests kill and start the weftd that WEFT_SOCKET names while this test runs, and make the file WEFT_STOP when
// that is over.
func TestClaimsOutliveRestartsOfWeftd(t *testing.T) {
	if os.Getenv("WEFT_SOCKET") == "" || os.Getenv("WEFT_STOP") == "" {
		t.Skip("WEFT_SOCKET and WEFT_STOP name no weftd and no file")
	}
	pool, err := New(background(t), Options{Client: weft.New(os.Getenv("WEFT_SOCKET")), Logf: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	over := func() bool {
		_, err := os.Stat(os.Getenv("WEFT_STOP"))
		return err == nil
	}
	var group sync.WaitGroup
	for caller := 0; caller < 6; caller++ {
		group.Add(1)
		go func(caller int) {
			defer group.Done()
			for turn := 0; !over(); turn++ {
				live(t, pool, strconv.Itoa(caller), turn)
			}
		}(caller)
	}
	group.Wait()
	closePool(t, pool)
}

// live is one sandbox's life: a claim, a name that its former life had, policies, and its return. Every third caller gives up.
func live(t *testing.T, pool *Pool, name string, turn int) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if turn%3 == 2 {
		hasty, giveUp := context.WithTimeout(ctx, time.Duration(turn%7)*time.Millisecond)
		defer giveUp()
		if slot, err := pool.Get(hasty, Egress{}); err == nil {
			_ = pool.ReturnAsync(ctx, slot.ID, nil, 0)
		}
		return
	}
	slot, err := pool.Get(ctx, Egress{})
	if err != nil {
		t.Error(err)
		return
	}
	// A caller of these repeats them as it likes; here they may fail, but not leave the pool without its slot.
	calls := []func() error{
		func() error { return pool.Assign(ctx, slot.ID, Assignment{Name: "i" + name}) },
		func() error { return pool.SetEgress(ctx, slot.ID, Egress{Deny: []string{"0.0.0.0/0"}}) },
		func() error { return pool.Deny(ctx, slot.ID) },
	}
	for _, call := range calls {
		if err := call(); err != nil && status(err) != 0 && status(err) != 503 {
			t.Error(err)
		}
	}
	if err := pool.ReturnAsync(ctx, slot.ID, nil, 0); err != nil {
		t.Error(err)
	}
}
