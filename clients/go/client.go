// SPDX-License-Identifier: GPL-2.0-or-later

package weft

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// DefaultSocket is where weftd listens unless it is told otherwise.
const DefaultSocket = "/run/weft/control.sock"

const (
	defaultPatience = 10 * time.Second
	firstPause      = 20 * time.Millisecond // before a call is repeated
	longestPause    = time.Second
	// weftd closes a connection on which no request comes for 10 s.
	idleTimeout = 5 * time.Second
	// A burst of calls opens more connections, which are then closed.
	idleConnections = 16
)

// A Client calls one weftd.
type Client struct {
	kept     http.Client // keeps connections: a call then takes half the time
	fresh    http.Client // a new connection for each request, which no weftd can have closed already
	base     string
	where    string
	agent    string
	patience time.Duration
	silence  time.Duration // of a stream of events, until it is opened again

	mutex sync.Mutex
	last  Version
}

// An Option changes a Client.
type Option func(*Client)

// WithPatience says for how long weftd may be away, as between two of its runs, before a call fails; by default ten seconds. 0: no
// call is repeated. The channel of events has no such limit.
func WithPatience(patience time.Duration) Option { return func(c *Client) { c.patience = patience } }

// WithUserAgent names the program that calls, for weftd's log.
func WithUserAgent(agent string) Option { return func(c *Client) { c.agent = agent } }

// New makes a client of the weftd at a unix socket; "" is DefaultSocket. An address such as "http://127.0.0.1:9100", where weftd listens for
// readers ([http] listen), will do too; there it refuses changes and waits. New does not connect.
func New(socket string, options ...Option) *Client {
	if socket == "" {
		socket = DefaultSocket
	}
	c := &Client{where: socket, base: "http://localhost", agent: "weft-go/" + APIVersion, patience: defaultPatience, silence: time.Minute}
	dialer := &net.Dialer{}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "unix", socket)
	}
	if strings.HasPrefix(socket, "http://") {
		c.base, dial = strings.TrimRight(socket, "/"), dialer.DialContext
	}
	c.kept.Transport = &http.Transport{
		DialContext: dial, DisableCompression: true, IdleConnTimeout: idleTimeout, MaxIdleConnsPerHost: idleConnections,
	}
	c.fresh.Transport = &http.Transport{DialContext: dial, DisableCompression: true, DisableKeepAlives: true}
	asIs := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.kept.CheckRedirect, c.fresh.CheckRedirect = asIs, asIs
	for _, option := range options {
		option(c)
	}
	return c
}

// CloseIdle closes connections that no call uses.
func (c *Client) CloseIdle() { c.kept.CloseIdleConnections() }

// version returns the version that weftd told last.
func (c *Client) version() Version {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.last
}

func (c *Client) setVersion(version Version) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.last = version
}
