// SPDX-License-Identifier: GPL-2.0-or-later

// Goproxy is a reverse proxy as orchestrators in Go have one before their sandboxes: net/http with httputil.ReverseProxy, the sandbox by
// a header, and no keep-alive to guests, because a server inside may close a connection at any time.
//
//	goproxy ADDRESS FILE
//
// FILE has "ID IP" a line.
package main

import (
	"bufio"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"strings"
	"time"
)

func readMap(path string) (map[string]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	hosts := map[string]string{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if id, ip, found := strings.Cut(lines.Text(), " "); found {
			hosts[id] = ip
		}
	}
	return hosts, lines.Err()
}

func main() {
	hosts, err := readMap(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Transport: &http.Transport{
			DialContext:       (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 20 * time.Second}).DialContext,
			DisableKeepAlives: true,
		},
		FlushInterval: -1,
		Director: func(request *http.Request) {
			request.URL.Scheme = "http"
			request.URL.Host = hosts[request.Header.Get("E2b-Sandbox-Id")] + ":" + request.Header.Get("E2b-Sandbox-Port")
			request.Header["X-Forwarded-For"] = nil
		},
	}
	handler := func(writer http.ResponseWriter, request *http.Request) {
		if hosts[request.Header.Get("E2b-Sandbox-Id")] == "" {
			http.Error(writer, "The sandbox was not found", http.StatusBadGateway)
			return
		}
		proxy.ServeHTTP(writer, request)
	}
	server := &http.Server{Addr: os.Args[1], Handler: http.HandlerFunc(handler), IdleTimeout: 630 * time.Second}
	log.Fatal(server.ListenAndServe())
}
