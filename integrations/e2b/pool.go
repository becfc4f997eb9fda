// SPDX-License-Identifier: GPL-2.0-or-later

// Package e2b is a pool of network slots for E2B's orchestrator, filled by weft. It has the semantics of the orchestrator's own
// pools, and no import of E2B's code; the module in infra/ puts it behind the orchestrator's interface.
//
// A claim registers a sandbox under an invented id. weft's own pool ([pool] size) makes that a matter of a millisecond, so
// nothing is kept ready here. The pool's sandboxes have the label "pool", by which the next run finds those that a run which was
// killed has left.
//
// No registration is ever cut off: one that is under way when its caller gives up goes on and is undone. So whatever happens to
// the caller or to weftd, either a claim has its slot, or the slot is given back.
package e2b

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log"
	"sort"
	"strings"
	"sync"
	"time"

	weft "weft.example/clients/go"
)

// ErrClosed is the answer of a pool that was closed.
var ErrClosed = errors.New("the pool is closed")

// ErrNotClaimed is the answer to a slot that nobody has claimed, or that was returned before.
var ErrNotClaimed = errors.New("the slot is not claimed")

const (
	labelPool = "pool" // the label whose value is the pool's owner

	callTimeout  = time.Minute      // of one call that must not be cut off
	startTimeout = 30 * time.Second // how long New waits for weftd
	closeGrace   = 10 * time.Second // how long Close goes on with returns that fail
)

// Options say how a pool is to be.
type Options struct {
	// Client asks weftd. Required.
	Client *weft.Client
	// Owner is the value of the label "pool"; by default "e2b". Pools of one host need different ones.
	Owner string
	// KeepFormer leaves what a former pool of this owner has left. By default New removes it, as E2B's orchestrator does at its
	// start: VMs do not outlive the process that started them.
	KeepFormer bool
	// Host says what weftd's configuration must have. Its zero value demands nothing and hands TCP to nobody.
	Host Host
	// Logf is told what happens in the background; by default log.Printf.
	Logf func(format string, arguments ...any)
}

// Pool claims slots from weftd and gives them back. All of its methods may be called at the same time.
type Pool struct {
	options Options
	done    chan struct{} // closed by Close

	mu     sync.Mutex
	closed bool
	claims map[string]*claim
	work   sync.WaitGroup // claims and returns that are under way; Close waits for them
}

type claim struct {
	slot   Slot
	egress Egress // in force, but for Deny
}

// New makes a pool. It waits for a weftd that starts, at most 30 s, checks its configuration by Options.Host, and removes what
// a former pool of the same owner left.
func New(ctx context.Context, options Options) (*Pool, error) {
	if options.Client == nil {
		return nil, errors.New("the pool needs a client")
	}
	if options.Owner == "" {
		options.Owner = "e2b"
	}
	if options.Logf == nil {
		options.Logf = log.Printf
	}
	pool := &Pool{options: options, done: make(chan struct{}), claims: map[string]*claim{}}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var status *weft.Status
	err := retry(ctx, pool.done, func() (err error) {
		status, err = options.Client.Status(ctx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("weftd does not answer: %w", err)
	}
	if err := options.Host.check(status); err != nil {
		return nil, err
	}
	if !options.KeepFormer {
		if err := pool.removeFormer(ctx); err != nil {
			return nil, fmt.Errorf("sandboxes of a former run: %w", err)
		}
	}
	return pool, nil
}

// Get claims a slot and gives its guest this policy. As E2B's own pools do, it waits for a slot until ctx ends if there is none.
func (p *Pool) Get(ctx context.Context, egress Egress) (Slot, error) {
	body, err := p.registration(egress)
	if err != nil {
		return Slot{}, err
	}
	if !p.enter() {
		return Slot{}, ErrClosed
	}
	answers := make(chan answer)
	go p.claim(ctx, body, egress, answers)
	select {
	case got := <-answers:
		return got.slot, got.err
	case <-ctx.Done():
		return Slot{}, ctx.Err()
	}
}

type answer struct {
	slot Slot
	err  error
}

// claim registers a sandbox and hands it to the caller, or removes it again if the caller is gone.
func (p *Pool) claim(ctx context.Context, body weft.Registration, egress Egress, answers chan<- answer) {
	defer p.work.Done()
	slot, err := p.register(ctx, body, egress)
	select {
	case answers <- answer{slot: slot, err: err}:
	case <-ctx.Done():
		if err == nil {
			p.forget(slot.ID)
			p.undo(ctx, slot.ID)
		}
	}
}

// register registers a sandbox and notes the claim. If it fails, nothing is left.
func (p *Pool) register(ctx context.Context, body weft.Registration, egress Egress) (Slot, error) {
	id, err := p.inventID()
	if err != nil {
		return Slot{}, err
	}
	var sandbox *weft.Sandbox
	err = retry(ctx, p.done, func() (err error) {
		call, cancel := context.WithTimeout(detached{ctx}, callTimeout)
		defer cancel()
		sandbox, err = p.options.Client.Register(call, id, body)
		return err
	})
	slot := Slot{}
	if err == nil {
		slot = slotOf(sandbox)
		err = p.keep(slot, egress)
	}
	if err != nil {
		p.undo(ctx, id) // a try whose answer was lost may have made it
		return Slot{}, err
	}
	return slot, nil
}

// undo removes a sandbox that nobody will have.
func (p *Pool) undo(ctx context.Context, id string) {
	if err := p.remove(detached{ctx}, id); err != nil {
		p.options.Logf("weft: sandbox %s, which nobody has claimed, is still there: %v", id, err)
	}
}

// keep notes a claim, unless the pool was closed meanwhile.
func (p *Pool) keep(slot Slot, egress Egress) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrClosed
	}
	p.claims[slot.ID] = &claim{slot: slot, egress: egress}
	return nil
}

// forget takes a claim from the list and says whether it was there.
func (p *Pool) forget(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, there := p.claims[id]
	delete(p.claims, id)
	return there
}

// find returns the claim of a sandbox.
func (p *Pool) find(id string) (claim, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	found, there := p.claims[id]
	if !there {
		return claim{}, fmt.Errorf("%s: %w", id, ErrNotClaimed)
	}
	return *found, nil
}

// SetEgress replaces the policy of a claimed slot, all or nothing. The DSCP stays that of the claim.
func (p *Pool) SetEgress(ctx context.Context, id string, egress Egress) error {
	found, err := p.find(id)
	if err != nil {
		return err
	}
	egress.DSCP = found.egress.DSCP
	policy, err := p.policy(egress)
	if err != nil {
		return err
	}
	if _, err = p.options.Client.Patch(ctx, id, weft.Patch{Egress: policy}); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if found, there := p.claims[id]; there {
		found.egress = egress
	}
	return nil
}

// Deny drops everything that the guest of a claimed slot opens, services of the host and DNS too. What the host opens to the
// guest goes on. SetEgress ends it.
func (p *Pool) Deny(ctx context.Context, id string) error {
	found, err := p.find(id)
	if err != nil {
		return err
	}
	// The lists stay as they are: weft then changes no more than a rule.
	policy, err := p.policy(found.egress)
	if err != nil {
		return err
	}
	policy.Isolated = weft.Ptr(true)
	_, err = p.options.Client.Patch(ctx, id, weft.Patch{Egress: policy})
	return err
}

// ReturnAsync gives a slot back in the background: it waits for delay, tells released the host address, and unregisters the
// sandbox. weftd resets what is left of its connections, and another sandbox gets the slot after weftd's own quarantine. If ctx
// ends or the pool is closed meanwhile, the slot is given back at once. In a closed pool that happens before ReturnAsync returns.
//
// A slot that is not claimed, or was returned before, is an error, and released is not called: its address may be another's.
func (p *Pool) ReturnAsync(ctx context.Context, id string, released func(ctx context.Context, hostIP string), delay time.Duration) error {
	found, err := p.find(id)
	if err != nil || !p.forget(id) {
		return fmt.Errorf("%s: %w", id, ErrNotClaimed)
	}
	if !p.enter() {
		return p.giveBack(ctx, found.slot, released, 0)
	}
	go func() {
		defer p.work.Done()
		if err := p.giveBack(ctx, found.slot, released, delay); err != nil {
			p.options.Logf("weft: slot %d is not given back: %v", found.slot.Number, err)
		}
	}()
	return nil
}

func (p *Pool) giveBack(ctx context.Context, slot Slot, released func(context.Context, string), delay time.Duration) error {
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		case <-p.done:
		}
	}
	if released != nil {
		released(ctx, slot.HostIP)
	}
	return p.remove(detached{ctx}, slot.ID)
}

// Close ends the pool. It waits for all claims and returns that are under way. Slots that are claimed still are left alone,
// because VMs may live in them: the error names them, ReturnAsync takes them even now, and so does the next pool of this owner.
func (p *Pool) Close(ctx context.Context) error {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.done)
	}
	p.mu.Unlock()
	finished := make(chan struct{})
	go func() {
		p.work.Wait()
		close(finished)
	}()
	select {
	case <-finished:
	case <-ctx.Done():
		return fmt.Errorf("slots are still being given back: %w", ctx.Err())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	open := make([]string, 0, len(p.claims))
	for id, one := range p.claims {
		open = append(open, fmt.Sprintf("%s (%s)", one.slot.Netns, id))
	}
	if len(open) == 0 {
		return nil
	}
	sort.Strings(open)
	return fmt.Errorf("slots were not returned: %s", strings.Join(open, ", "))
}

// enter notes that a claim or return is under way, unless the pool is closed. Its end is p.work.Done().
func (p *Pool) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.work.Add(1)
	return true
}

// remove unregisters a sandbox and goes on until weftd has done so, however often weftd is restarted meanwhile. Once the pool is
// closed it gives up after a while.
func (p *Pool) remove(ctx context.Context, id string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-p.done:
		case <-ended:
			return
		}
		select {
		case <-time.After(closeGrace):
			cancel()
		case <-ended:
		}
	}()
	return retry(ctx, nil, func() error {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		err := p.options.Client.Unregister(call, id)
		if status(err) == 404 {
			return nil
		}
		return err
	})
}

// removeFormer removes what a former pool of this owner left.
func (p *Pool) removeFormer(ctx context.Context) error {
	var left []weft.Sandbox
	err := retry(ctx, p.done, func() (err error) {
		left, err = p.options.Client.List(ctx, weft.ListOptions{Labels: map[string]string{labelPool: p.options.Owner}})
		return err
	})
	if err != nil || len(left) == 0 {
		return err
	}
	p.options.Logf("weft: removing %d sandboxes of a former run", len(left))
	var group sync.WaitGroup
	failed := make([]error, len(left))
	for i := range left {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			failed[i] = p.remove(ctx, left[i].ID)
		}(i)
	}
	group.Wait()
	var all []error
	for _, err := range failed {
		if err != nil {
			all = append(all, err)
		}
	}
	return join(all)
}

// inventID returns an id that no other sandbox has.
func (p *Pool) inventID() (string, error) {
	var random [10]byte
	if _, err := rand.Read(random[:]); err != nil {
		return "", err
	}
	return p.options.Owner + "-" + hex.EncodeToString(random[:]), nil
}
