// SPDX-License-Identifier: GPL-2.0-or-later

package weft

// A stand-in for weftd, which answers each connection as a test says.

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is longer than any test takes on a slow machine.
const patience = time.Minute

// A scene answers one request. The connection is closed after an answer that ends with cut, and silent after one that ends with held.
type scene func(request *http.Request, body string) (answer string)

const (
	cut  = "\x00"
	held = "\x01"
)

// A fake plays its scenes one after the other, the last one again and again.
type fake struct {
	t        *testing.T
	socket   string
	listener net.Listener
	over     chan struct{} // closed at the test's end

	mutex    sync.Mutex
	scenes   []scene
	requests []string // "METHOD TARGET BODY"
}

func newFake(t *testing.T, scenes ...scene) *fake {
	folder, err := os.MkdirTemp("", "weft-go-")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{t: t, socket: filepath.Join(folder, "s"), scenes: scenes, over: make(chan struct{})}
	f.listen()
	t.Cleanup(func() {
		close(f.over)
		f.listener.Close()
		os.RemoveAll(folder)
	})
	return f
}

func (f *fake) listen() {
	listener, err := net.Listen("unix", f.socket)
	if err != nil {
		f.t.Fatal(err)
	}
	f.listener = listener
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go f.serve(connection)
		}
	}()
}

func (f *fake) client(options ...Option) *Client {
	return New(f.socket, append([]Option{WithPatience(patience)}, options...)...)
}

func (f *fake) serve(connection net.Conn) {
	defer connection.Close()
	reader := bufio.NewReader(connection)
	for {
		request, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		body, _ := io.ReadAll(request.Body)
		answer := f.next(request, string(body))(request, string(body))
		whole := strings.TrimRight(answer, cut+held)
		if strings.HasSuffix(answer, held) {
			_, _ = io.WriteString(connection, whole)
			<-f.over
			return
		}
		if _, err := io.WriteString(connection, whole); err != nil || whole != answer || request.Close {
			return
		}
	}
}

func (f *fake) next(request *http.Request, body string) scene {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.requests = append(f.requests, fmt.Sprintf("%s %s %s", request.Method, request.URL.RequestURI(), body))
	now := f.scenes[0]
	if len(f.scenes) > 1 {
		f.scenes = f.scenes[1:]
	}
	return now
}

func (f *fake) count() int {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return len(f.requests)
}

func (f *fake) request(i int) string {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return f.requests[i]
}

// message is an answer with a version, a body and further fields, each with its end.
func message(status int, version, kind, body, fields string) string {
	if version != "" {
		version = "Weft-Api-Version: " + version + "\r\n"
	}
	return fmt.Sprintf("HTTP/1.1 %d %s\r\n%sContent-Type: %s\r\nContent-Length: %d\r\n%s\r\n%s", status, http.StatusText(status),
		version, kind, len(body), fields, body)
}

func always(answer string) scene { return func(*http.Request, string) string { return answer } }

func ok(body string) scene { return always(message(200, APIVersion, "application/json", body, "")) }

func created(body string) scene {
	return always(message(201, APIVersion, "application/json", body, ""))
}

func gone() scene {
	return always("HTTP/1.1 204 No Content\r\nWeft-Api-Version: " + APIVersion + "\r\n\r\n")
}

func refused(status int, detail, fields string) scene {
	body := fmt.Sprintf(`{"type":"about:blank","title":"T","status":%d,"detail":%q,"field":"/ports/0"}`, status, detail)
	return always(message(status, APIVersion, "application/problem+json", body, fields))
}

// Ways in which weftd ends in the midst of a call.
var (
	hangsUp  = always(cut)
	cutsHead = always("HTTP/1.1 200 O" + cut)
	cutsBody = always("HTTP/1.1 200 OK\r\nWeft-Api-Version: " + APIVersion + "\r\nContent-Type: application/json\r\n" +
		"Content-Length: 1000\r\nConnection: close\r\n\r\n{\"id\"" + cut)
	stops = refused(503, "weftd is stopping", "Retry-After: 1\r\n")
)

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}
