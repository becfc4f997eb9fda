// SPDX-License-Identifier: GPL-2.0-or-later

package e2b

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	weft "weft.example/clients/go"
)

// How long a test waits for what must come.
const patience = 60 * time.Second

func background(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func claimOne(t *testing.T, pool *Pool, egress Egress) Slot {
	t.Helper()
	slot, err := pool.Get(background(t), egress)
	if err != nil {
		t.Fatal(err)
	}
	return slot
}

func closePool(t *testing.T, pool *Pool) {
	t.Helper()
	if err := pool.Close(background(t)); err != nil {
		t.Fatal(err)
	}
}

// redirected is a host whose TCP goes to E2B's firewall.
func redirected() Host {
	return Host{Redirects: []string{"80:5016", "443:5017", "*:5018"}}
}

func TestAClaimIsASlotOfWeft(t *testing.T) {
	fake := newFakeWeftd(t)
	pool := fake.pool(t, Options{})
	slot := claimOne(t, pool, Egress{})
	expected := Slot{ID: fake.ids()[0], Number: 1, Netns: "ns-1", NetnsPath: "/run/netns/ns-1", Veth: "veth-1", TAP: "tap0", HostIP: "10.11.0.1",
		GuestIP: "169.254.0.21", GuestPrefix: 30, GuestMAC: "02:FC:00:00:00:05", Gateway: "169.254.0.22"}
	if slot != expected {
		t.Errorf("%+v", slot)
	}
	if err := slot.Differences(expected); err != nil {
		t.Error(err)
	}
	expected.HostIP, expected.Veth = "10.11.0.2", "veth-2"
	if err := slot.Differences(expected); err == nil || !strings.Contains(err.Error(), "veth is veth-1, and E2B computes veth-2") || !strings.Contains(err.Error(), "10.11.0.2") {
		t.Error(err)
	}
}

func TestAReturnedSlotIsUnregisteredOnceItsHolderKnows(t *testing.T) {
	fake := newFakeWeftd(t)
	pool := fake.pool(t, Options{})
	slot := claimOne(t, pool, Egress{})
	told := make(chan string, 2)
	err := pool.ReturnAsync(background(t), slot.ID, func(_ context.Context, ip string) {
		if fake.called("DELETE") > 0 {
			t.Error("it was unregistered before its holder knew")
		}
		told <- ip
	}, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	closePool(t, pool)
	if ip := <-told; ip != "10.11.0.1" || len(told) > 0 || len(fake.ids()) > 0 {
		t.Error(ip, len(told), fake.ids())
	}
}

func TestASlotThatIsReturnedTwiceReleasesNothing(t *testing.T) {
	fake := newFakeWeftd(t)
	pool := fake.pool(t, Options{})
	slot := claimOne(t, pool, Egress{})
	if err := pool.ReturnAsync(background(t), slot.ID, nil, 0); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{slot.ID, "e2b-unknown"} {
		err := pool.ReturnAsync(background(t), id, func(context.Context, string) { t.Error("released") }, 0)
		if !errors.Is(err, ErrNotClaimed) {
			t.Error(err)
		}
	}
	if err := pool.SetEgress(background(t), slot.ID, Egress{}); !errors.Is(err, ErrNotClaimed) {
		t.Error(err)
	}
	closePool(t, pool)
	if fake.called("DELETE") != 1 {
		t.Error(fake.called("DELETE"))
	}
}

func TestASlotThatWeftHasNoMoreIsReturnedAllTheSame(t *testing.T) {
	fake := newFakeWeftd(t)
	pool := fake.pool(t, Options{})
	slot := claimOne(t, pool, Egress{})
	fake.failing(func(method, _ string) fault {
		if method == "DELETE" {
			return fault{status: 404}
		}
		return fault{}
	})
	_ = pool.ReturnAsync(background(t), slot.ID, nil, 0)
	closePool(t, pool)
}

func TestACallerThatGivesUpLeavesNothing(t *testing.T) {
	fake := newFakeWeftd(t)
	pool := fake.pool(t, Options{})
	goOn, failed, cancel := claimHeld(t, fake, pool)
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	kept := claimOne(t, pool, Egress{})
	close(goOn)
	eventually(t, "what was registered in vain is removed", func() bool { return fake.called("DELETE") == 1 && len(fake.ids()) == 1 })
	if fake.cutOff() {
		t.Error("the registration was cut off: nobody could know what became of it")
	}
	_ = pool.ReturnAsync(background(t), kept.ID, nil, 0)
	closePool(t, pool)
}

func TestAClaimThatACloseOvertakesLeavesNothing(t *testing.T) {
	fake := newFakeWeftd(t)
	pool := fake.pool(t, Options{})
	goOn, failed, _ := claimHeld(t, fake, pool)
	closed := make(chan error)
	go func() { closed <- pool.Close(background(t)) }()
	<-pool.done
	close(goOn)
	if err := <-failed; !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := <-closed; err != nil || len(fake.ids()) > 0 {
		t.Error(err, fake.ids())
	}
}

// claimHeld begins a claim whose registration weftd serves once the channel is closed.
func claimHeld(t *testing.T, fake *fakeWeftd, pool *Pool) (goOn chan struct{}, failed chan error, cancel func()) {
	t.Helper()
	goOn, failed = make(chan struct{}), make(chan error)
	fake.failing(func(method, _ string) fault {
		if method == "PUT" && len(fake.bodies["PUT"]) == 1 {
			return fault{until: goOn}
		}
		return fault{}
	})
	ctx, cancel := context.WithCancel(background(t))
	go func() {
		_, err := pool.Get(ctx, Egress{})
		failed <- err
	}()
	eventually(t, "a registration under way", func() bool { return fake.called("PUT") == 1 })
	return goOn, failed, cancel
}

func TestADaemonThatIsRestartedAmidARegistrationMakesOneSlot(t *testing.T) {
	fake := newFakeWeftd(t)
	pool := fake.pool(t, Options{})
	fake.failing(func(method, _ string) fault {
		return fault{cut: method == "PUT" && len(fake.bodies["PUT"]) == 1}
	})
	slot := claimOne(t, pool, Egress{})
	if ids := fake.ids(); len(ids) != 1 || ids[0] != slot.ID || fake.called("PUT") != 2 {
		t.Error(ids, fake.called("PUT"))
	}
}

func TestADaemonThatIsRestartedAmidAReturnIsAskedAgain(t *testing.T) {
	fake := newFakeWeftd(t)
	pool := fake.pool(t, Options{})
	slot := claimOne(t, pool, Egress{})
	fake.failing(func(method, _ string) fault {
		switch len(fake.bodies["DELETE"]) {
		case 1:
			return fault{status: 503}
		case 2:
			return fault{cut: true}
		}
		return fault{}
	})
	_ = pool.ReturnAsync(background(t), slot.ID, nil, 0)
	closePool(t, pool)
	if len(fake.ids()) > 0 || fake.called("DELETE") != 3 {
		t.Error(fake.ids(), fake.called("DELETE"))
	}
}

func TestAClaimWaitsForASlot(t *testing.T) {
	fake := newFakeWeftd(t)
	pool := fake.pool(t, Options{})
	fake.failing(func(method, _ string) fault {
		if method == "PUT" && len(fake.bodies["PUT"]) < 4 {
			return fault{status: 503}
		}
		return fault{}
	})
	claimOne(t, pool, Egress{})
}

func TestAClaimWaitsNoLongerThanItsCallerAndSaysForWhat(t *testing.T) {
	fake := newFakeWeftd(t)
	pool := fake.pool(t, Options{})
	fake.failing(func(method, _ string) fault {
		if method == "PUT" {
			return fault{status: 503}
		}
		return fault{}
	})
	ctx, cancel := context.WithCancel(background(t))
	failed := make(chan error)
	go func() {
		_, err := pool.Get(ctx, Egress{})
		failed <- err
	}()
	eventually(t, "a second try", func() bool { return fake.called("PUT") > 1 })
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	closePool(t, pool)
}

func TestARefusalIsNotRepeated(t *testing.T) {
	fake := newFakeWeftd(t)
	pool := fake.pool(t, Options{})
	fake.failing(func(method, _ string) fault {
		if method == "PUT" {
			return fault{status: 400}
		}
		return fault{}
	})
	var problem *weft.Problem
	if _, err := pool.Get(background(t), Egress{}); !errors.As(err, &problem) || problem.Status != 400 {
		t.Error(err)
	}
	if fake.called("PUT") != 1 {
		t.Error(fake.calls)
	}
}

func TestARefusalAfterATryWithoutAnAnswerLeavesNothing(t *testing.T) {
	fake := newFakeWeftd(t)
	pool := fake.pool(t, Options{})
	fake.failing(func(method, _ string) fault {
		switch {
		case method != "PUT":
			return fault{}
		case len(fake.bodies["PUT"]) == 1:
			return fault{cut: true}
		}
		return fault{status: 409}
	})
	if _, err := pool.Get(background(t), Egress{}); status(err) != 409 || len(fake.ids()) > 0 {
		t.Error(err, fake.ids())
	}
}

func TestACloseCutsDelaysAndNamesWhatIsNotReturned(t *testing.T) {
	fake := newFakeWeftd(t)
	pool := fake.pool(t, Options{})
	first, second := claimOne(t, pool, Egress{}), claimOne(t, pool, Egress{})
	released := false
	_ = pool.ReturnAsync(context.Background(), first.ID, func(context.Context, string) { released = true }, time.Hour)
	err := pool.Close(background(t))
	if err == nil || !strings.Contains(err.Error(), "slots were not returned: ns-2 ("+second.ID+")") || !released {
		t.Error(err, released)
	}
	if ids := fake.ids(); !reflect.DeepEqual(ids, []string{second.ID}) {
		t.Error(ids)
	}
	if _, err := pool.Get(background(t), Egress{}); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := pool.ReturnAsync(background(t), second.ID, nil, time.Hour); err != nil || len(fake.ids()) > 0 {
		t.Error("after the close a return is over when it returns:", err, fake.ids())
	}
	closePool(t, pool)
}

func TestAnEndedContextCutsTheDelay(t *testing.T) {
	fake := newFakeWeftd(t)
	pool := fake.pool(t, Options{})
	slot := claimOne(t, pool, Egress{})
	ctx, cancel := context.WithCancel(background(t))
	_ = pool.ReturnAsync(ctx, slot.ID, nil, time.Hour)
	cancel()
	eventually(t, "it is given back", func() bool { return len(fake.ids()) == 0 })
	closePool(t, pool)
}

func TestTheNextPoolRemovesWhatAFormerOneLeft(t *testing.T) {
	fake := newFakeWeftd(t)
	other := claimOne(t, fake.pool(t, Options{Owner: "another"}), Egress{})
	former := claimOne(t, fake.pool(t, Options{}), Egress{})
	kept := fake.pool(t, Options{KeepFormer: true})
	if len(fake.ids()) != 2 {
		t.Error(fake.ids())
	}
	closePool(t, kept)
	fake.pool(t, Options{})
	if ids := fake.ids(); !reflect.DeepEqual(ids, []string{other.ID}) {
		t.Error("left", ids, "of", other.ID, former.ID)
	}
}

func TestManyClaimsAtOnceHaveSlotsOfTheirOwn(t *testing.T) {
	fake := newFakeWeftd(t)
	pool := fake.pool(t, Options{})
	var group sync.WaitGroup
	var seen sync.Map
	for i := 0; i < 100; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			slot, err := pool.Get(background(t), Egress{})
			if err != nil {
				t.Error(err)
				return
			}
			if _, twice := seen.LoadOrStore(slot.ID, true); twice {
				t.Error("twice", slot)
			}
			if err := pool.ReturnAsync(background(t), slot.ID, nil, time.Millisecond); err != nil {
				t.Error(err)
			}
		}()
	}
	group.Wait()
	closePool(t, pool)
	if len(fake.ids()) > 0 {
		t.Error(fake.ids())
	}
}

func TestAPoolWaitsForAWeftdThatStarts(t *testing.T) {
	fake := newFakeWeftd(t)
	fake.failing(func(method, _ string) fault {
		if len(fake.calls) < 3 {
			return fault{status: 503}
		}
		return fault{}
	})
	closePool(t, fake.pool(t, Options{}))
	if _, err := New(background(t), Options{}); err == nil {
		t.Error("a pool without a client")
	}
}
