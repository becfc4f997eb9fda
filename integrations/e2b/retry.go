// SPDX-License-Identifier: GPL-2.0-or-later

package e2b

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	weft "weft.example/clients/go"
)

const (
	firstWait   = 20 * time.Millisecond // before a call is made again
	longestWait = time.Second           // and later
)

// retry makes a call until weftd serves or refuses it, or ctx ends, or stop is closed. The error names both what ended it and
// weftd's last answer.
func retry(ctx context.Context, stop <-chan struct{}, call func() error) error {
	for wait := firstWait; ; {
		err := call()
		if err == nil || refused(err) {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-stop:
			timer.Stop()
			return fmt.Errorf("%w (the last answer: %v)", ErrClosed, err)
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w (the last answer: %v)", ctx.Err(), err)
		}
		if wait *= 2; wait > longestWait {
			wait = longestWait
		}
	}
}

// sleep returns false if the context ends first.
func sleep(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// refused says whether weftd understood a call and will not serve it, so that asking again is of no use. Anything else passes: a
// weftd that is not there, starts or stops, and a want of slots or memory.
func refused(err error) bool {
	switch status(err) {
	case 0, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return false
	}
	return true
}

// status returns the HTTP status of an error that weftd answered, and 0 for another.
func status(err error) int {
	var problem *weft.Problem
	if errors.As(err, &problem) {
		return problem.Status
	}
	return 0
}

// detached has the values of a context, but does not end with it.
type detached struct{ context.Context }

func (detached) Deadline() (time.Time, bool) { return time.Time{}, false }
func (detached) Done() <-chan struct{}       { return nil }
func (detached) Err() error                  { return nil }
