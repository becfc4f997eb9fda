// SPDX-License-Identifier: GPL-2.0-or-later

package weft

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"time"
)

// These sentinels are what errors.Is compares a *Problem with.
var (
	ErrInvalid     = errors.New("weft: invalid request")             // 400; Field names the part at fault
	ErrForbidden   = errors.New("weft: not allowed")                 // 403
	ErrNotFound    = errors.New("weft: no such sandbox")             // 404
	ErrTimeout     = errors.New("weft: not so within the time")      // 408
	ErrConflict    = errors.New("weft: conflict")                    // 409; Detail names the holder, or what differs
	ErrGone        = errors.New("weft: unregistered meanwhile")      // 410
	ErrUnavailable = errors.New("weft: something is short for now")  // 503, 429
	ErrInternal    = errors.New("weft: a step in the kernel failed") // 500
)

var sentinels = map[int]error{
	http.StatusBadRequest:          ErrInvalid,
	http.StatusForbidden:           ErrForbidden,
	http.StatusNotFound:            ErrNotFound,
	http.StatusRequestTimeout:      ErrTimeout,
	http.StatusConflict:            ErrConflict,
	http.StatusGone:                ErrGone,
	http.StatusTooManyRequests:     ErrUnavailable,
	http.StatusServiceUnavailable:  ErrUnavailable,
	http.StatusInternalServerError: ErrInternal,
}

// A Problem is a refusal by weftd, as RFC 9457 describes it.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"` // of HTTP
	Detail string `json:"detail"` // a sentence for people
	// Field is what is to blame: a JSON pointer into the request ("/ports/0/listen"), "id", or a parameter's name; or "".
	Field string `json:"field,omitempty"`

	Method     string        `json:"-"` // the request
	Path       string        `json:"-"`
	RetryAfter time.Duration `json:"-"` // weftd stops, and its next run will serve the request; 0: nothing is known of that
	// Daemon is weftd's version of the API. One that is older than this package's may be the reason for ErrInvalid and ErrNotFound.
	Daemon Version `json:"-"`
}

func (p *Problem) Error() string {
	var text strings.Builder
	fmt.Fprintf(&text, "weft: %s %s: %d %s", p.Method, p.Path, p.Status, p.Title)
	if p.Field != "" {
		fmt.Fprintf(&text, ": %s", p.Field)
	}
	if p.Detail != "" {
		fmt.Fprintf(&text, ": %s", p.Detail)
	}
	if p.Daemon.Less(ours) && (p.Status == http.StatusBadRequest || p.Status == http.StatusNotFound) {
		fmt.Fprintf(&text, " (weftd has version %v of the API, this client %v)", p.Daemon, ours)
	}
	return text.String()
}

// Is makes errors.Is(err, ErrNotFound) and the like work.
func (p *Problem) Is(target error) bool {
	sentinel := sentinels[p.Status]
	return sentinel != nil && sentinel == target
}

// An UnreachableError says that no answer came.
type UnreachableError struct {
	Method string // the request
	Path   string
	Where  string // the socket's path, or the address
	Sent   bool   // weftd may have carried the request out; false: it cannot have seen it
	Err    error  // the reason
}

func (e *UnreachableError) Error() string {
	what := "weftd is not reachable at"
	if e.Sent {
		what = "no whole answer came from weftd at"
	}
	text := fmt.Sprintf("weft: %s %s: %s %s: %v", e.Method, e.Path, what, e.Where, e.Err)
	if errors.Is(e.Err, fs.ErrPermission) {
		text += " (root and the members of the socket's group may ask weftd)"
	}
	return text
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// A contextError says that the context of a call ended, and what weftd's last answer was.
type contextError struct {
	what  string
	last  error // may be nil
	ended error // the context's
}

func (e *contextError) Error() string {
	if e.last == nil {
		return fmt.Sprintf("weft: %s: %v", e.what, e.ended)
	}
	return fmt.Sprintf("weft: %s: %v; before: %s", e.what, e.ended, strings.TrimPrefix(e.last.Error(), "weft: "))
}

func (e *contextError) Unwrap() error { return e.ended }

// As finds a *Problem or an *UnreachableError from before the context ended.
func (e *contextError) As(target any) bool { return e.last != nil && errors.As(e.last, target) }
