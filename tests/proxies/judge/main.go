// SPDX-License-Identifier: GPL-2.0-or-later

// Judge is a transparent proxy of the kind that E2B's orchestrator runs for the TCP of its sandboxes. It listens on three ports, to which
// connections of guests are redirected: one for HTTP, whose Host it reads, one for TLS, whose SNI it reads, and one for all else, of which
// it reads nothing, since there the server may speak first. A name that is denied ends the connection. Any other connection goes on to its
// original destination.
//
//	judge -http PORT -tls PORT -other PORT [-deny NAME]
//
// It prints "ready", and then a line for each connection: verdict, source address, original destination, and the name or "-".
package main

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"syscall"

	"github.com/inetaf/tcpproxy"
)

const soOriginalDst = 80 // <linux/netfilter_ipv4.h>

// originalDestination returns where the peer of conn had connected to, before the redirection.
func originalDestination(conn net.Conn) (string, error) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return "", fmt.Errorf("%T is not a TCP connection", conn)
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return "", err
	}
	var found string
	var failed error
	err = raw.Control(func(fd uintptr) {
		// The answer is a sockaddr_in. This call takes it whole, into a struct that is large enough.
		var answer *syscall.IPv6Mreq
		answer, failed = syscall.GetsockoptIPv6Mreq(int(fd), syscall.IPPROTO_IP, soOriginalDst)
		if failed == nil {
			bytes := answer.Multiaddr
			found = fmt.Sprintf("%s:%d", net.IP(bytes[4:8]), binary.BigEndian.Uint16(bytes[2:4]))
		}
	})
	if err == nil {
		err = failed
	}
	return found, err
}

// judge handles the connections of one listener.
type judge struct {
	denied string
}

func (j judge) HandleConn(conn net.Conn) {
	name := "-"
	if peeked, ok := conn.(*tcpproxy.Conn); ok && peeked.HostName != "" {
		name = peeked.HostName
	}
	source, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
	destination, err := originalDestination(tcpproxy.UnderlyingConn(conn))
	if err != nil {
		fmt.Printf("error %s - %s\n", source, err)
		conn.Close()
		return
	}
	if j.denied != "" && name == j.denied {
		fmt.Printf("denied %s %s %s\n", source, destination, name)
		conn.Close()
		return
	}
	fmt.Printf("allowed %s %s %s\n", source, destination, name)
	tcpproxy.To(destination).HandleConn(conn)
}

func anyName(context.Context, string) bool { return true }

func main() {
	httpPort := flag.Int("http", 0, "the `port` to which HTTP is redirected")
	tlsPort := flag.Int("tls", 0, "the `port` to which TLS is redirected")
	otherPort := flag.Int("other", 0, "the `port` to which all else is redirected")
	denied := flag.String("deny", "", "a `name` that is denied")
	flag.Parse()
	log.SetOutput(os.Stderr)

	var proxy tcpproxy.Proxy
	target := judge{denied: *denied}
	at := func(port int) string { return fmt.Sprintf("0.0.0.0:%d", port) }
	proxy.AddHTTPHostMatchRoute(at(*httpPort), anyName, target)
	proxy.AddRoute(at(*httpPort), target)
	proxy.AddSNIMatchRoute(at(*tlsPort), anyName, target)
	proxy.AddRoute(at(*tlsPort), target)
	proxy.AddRoute(at(*otherPort), target)
	if err := proxy.Start(); err != nil {
		log.Fatal(err)
	}
	fmt.Println("ready")
	log.Fatal(proxy.Wait())
}
