// SPDX-License-Identifier: GPL-2.0-or-later

package weft

// One request and its answer, again and again where that is safe. A call is made again only while weftd looks as it does between two
// of its runs: nobody listens, it closes the connection without an answer, or it answers 503 with Retry-After. In the last two cases
// it may have done what it was asked, so those calls alone are repeated that mean the same a second time.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// A call is one call of the API.
type call struct {
	method string
	path   string
	query  url.Values
	body   any  // nil: none
	once   bool // it does not mean the same a second time
	// accept reads the body of an answer that is no refusal.
	accept func(status int, body io.Reader) error
}

func (call *call) String() string { return call.method + " " + call.path }

// sandboxPath is the path of a sandbox, or of a part of it.
func sandboxPath(id, part string) string { return "/v1/sandboxes/" + url.PathEscape(id) + part }

// into accepts JSON.
func into(answer any) func(int, io.Reader) error {
	return func(_ int, body io.Reader) error { return json.NewDecoder(body).Decode(answer) }
}

// get asks for JSON.
func (c *Client) get(ctx context.Context, path string, query url.Values, answer any) error {
	_, err := c.do(ctx, &call{method: http.MethodGet, path: path, query: query, accept: into(answer)})
	return err
}

// do makes the call until it is answered. Doubtful: an attempt before the last one may have been carried out.
func (c *Client) do(ctx context.Context, call *call) (doubtful bool, err error) {
	if call.path == sandboxPath("", "") || strings.HasPrefix(call.path, sandboxPath("", "/")) {
		return false, errors.New("weft: the id of a sandbox is empty")
	}
	waiting := backOff{patience: c.patience}
	for {
		err := c.attempt(ctx, call)
		if err == nil {
			return doubtful, nil
		}
		away, maybe := looksAway(err)
		if ctx.Err() == nil && away && !(maybe && call.once) {
			doubtful = doubtful || maybe
			waiting.last = err
			if waiting.wait(ctx) {
				continue
			}
		}
		if ctx.Err() != nil {
			err = &contextError{call.String(), waiting.last, ctx.Err()}
		}
		return doubtful, err
	}
}

// looksAway says whether weftd looks as it does between two of its runs, and whether it may have done what it was asked all the same.
func looksAway(err error) (away, maybe bool) {
	var lost *UnreachableError
	if errors.As(err, &lost) {
		return lost.Sent || isAbsence(lost.Err), lost.Sent
	}
	var problem *Problem
	if errors.As(err, &problem) {
		stopping := problem.Status == http.StatusServiceUnavailable && problem.RetryAfter > 0
		return stopping, stopping
	}
	return false, false
}

// isAbsence says whether connecting failed as it does without a weftd. EAGAIN: its queue is full.
func isAbsence(err error) bool {
	for _, code := range []syscall.Errno{syscall.ENOENT, syscall.ECONNREFUSED, syscall.EAGAIN, syscall.ECONNRESET} {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}

// A backOff waits longer and longer, until its patience is over.
type backOff struct {
	patience time.Duration // negative: without end
	until    time.Time
	pause    time.Duration
	last     error // why it waits
}

// wait returns false if there should be no other attempt.
func (b *backOff) wait(ctx context.Context) bool {
	if b.pause == 0 {
		b.until, b.pause = time.Now().Add(b.patience), firstPause
	}
	pause := b.pause
	if left := time.Until(b.until); b.patience >= 0 && pause > left {
		if left <= 0 {
			return false
		}
		pause = left
	}
	if b.pause *= 2; b.pause > longestPause {
		b.pause = longestPause
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// attempt makes the call once.
func (c *Client) attempt(ctx context.Context, call *call) error {
	response, err := c.open(ctx, call)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body := &watched{source: response.Body}
	err = call.accept(response.StatusCode, body)
	if err == nil {
		_, err = io.Copy(io.Discard, body) // to its end, so that the connection can be used again
	}
	if body.err != nil {
		return &UnreachableError{call.method, call.path, c.where, true, body.err}
	}
	if err != nil {
		return c.foreign(call, err)
	}
	return nil
}

// foreign is the error of an answer that is none of weftd's.
func (c *Client) foreign(call *call, err error) error {
	return fmt.Errorf("weft: %v: the answer at %s is not one of weftd's: %w", call, c.where, err)
}

// open sends the request, and returns the answer unless it is a refusal. The caller closes its body.
func (c *Client) open(ctx context.Context, call *call) (*http.Response, error) {
	var connected atomic.Bool
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }}
	request, err := c.request(httptrace.WithClientTrace(ctx, trace), call)
	if err != nil {
		return nil, fmt.Errorf("weft: %v: %w", call, err)
	}
	client := &c.kept
	if call.once {
		client = &c.fresh
	}
	response, err := client.Do(request)
	if err != nil {
		var outer *url.Error // says what is said here too
		if errors.As(err, &outer) {
			err = outer.Err
		}
		return nil, &UnreachableError{call.method, call.path, c.where, connected.Load(), err}
	}
	version, err := versionOf(response.Header)
	if err == nil {
		c.setVersion(version)
		if version.Major != ours.Major {
			err = &VersionError{version, ours}
		} else if response.StatusCode >= 400 {
			err = c.refusal(call, response)
		} else if response.StatusCode >= 300 {
			err = c.foreign(call, errors.New(response.Status))
		}
	}
	if err != nil {
		response.Body.Close()
		return nil, err
	}
	return response, nil
}

func (c *Client) request(ctx context.Context, call *call) (*http.Request, error) {
	var body io.Reader
	if call.body != nil {
		text, err := json.Marshal(call.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	target := c.base + call.path
	if len(call.query) > 0 {
		target += "?" + call.query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, call.method, target, body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", c.agent)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	return request, nil
}

// refusal reads an answer of 400 and more. Want of memory may leave it without a body.
func (c *Client) refusal(call *call, response *http.Response) error {
	body := &watched{source: response.Body}
	problem := &Problem{}
	if kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); kind == "application/problem+json" {
		err := json.NewDecoder(body).Decode(problem)
		if body.err != nil {
			return &UnreachableError{call.method, call.path, c.where, true, body.err}
		}
		if err != nil {
			return c.foreign(call, err)
		}
		_, _ = io.Copy(io.Discard, body)
	}
	problem.Status, problem.Method, problem.Path, problem.Daemon = response.StatusCode, call.method, call.path, c.version()
	if problem.Title == "" {
		problem.Title = http.StatusText(problem.Status)
	}
	if seconds, err := strconv.ParseUint(response.Header.Get("Retry-After"), 10, 31); err == nil {
		problem.RetryAfter = time.Duration(seconds) * time.Second
	}
	return problem
}

// watched tells a connection that ends from a body that is wrong.
type watched struct {
	source io.Reader
	err    error
}

func (w *watched) Read(into []byte) (int, error) {
	count, err := w.source.Read(into)
	if err != nil && err != io.EOF {
		w.err = err
	}
	return count, err
}
