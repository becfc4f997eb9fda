// SPDX-License-Identifier: GPL-2.0-or-later

// Example registers a sandbox, says how to start a VM in it, shows what happens until the guest answers, and takes the network away again:
//
//	go run ./example [-socket PATH] [-id ID] [-port PORT]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	weft "weft.example/clients/go"
)

func main() {
	socket := flag.String("socket", weft.DefaultSocket, "weftd's control socket")
	id := flag.String("id", "hello", "the sandbox")
	port := flag.Int("port", 8000, "the guest's port on which something will listen")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: go run ./example [-socket PATH] [-id ID] [-port PORT]")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}

	// Ctrl-C ends the context, and with it whatever waits.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, weft.New(*socket), *id, *port); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, client *weft.Client, id string, port int) error {
	version, err := client.CheckVersion(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("weftd serves version %v of the API\n", version)

	// Ctrl-C does not cut this off, as weftd might have made the sandbox all the same.
	whole, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	sandbox, err := client.Register(whole, id, weft.Registration{
		Ports:     []weft.Port{{GuestPort: port}},
		ReadyPort: port,
		Labels:    map[string]string{"example": "go"},
	})
	if errors.Is(err, weft.ErrConflict) {
		return fmt.Errorf("%w\nchoose another -id", err)
	}
	if err != nil {
		return err
	}
	defer unregister(client, id)

	fmt.Printf("%s has slot %d. Start a VM on %s in %s, with this on its kernel's command line:\n  %s\n",
		sandbox.ID, sandbox.Slot, sandbox.TAP, sandbox.NetnsPath, sandbox.Guest.BootArg)
	fmt.Printf("For instance: weftctl exec %s -- qemu-system-x86_64 ... $(weftctl show %s --qemu)\n", id, id)
	fmt.Printf("Clients reach port %d of the guest at %s, and may come before it answers.\n", port, sandbox.Endpoint(port))
	return follow(ctx, client, id)
}

// follow shows the sandbox's events until its guest answers.
func follow(ctx context.Context, client *weft.Client, id string) error {
	stream, err := client.Events(ctx, weft.EventsOptions{Sandbox: id})
	if err != nil && ctx.Err() == nil {
		return err
	}
	if err != nil {
		return nil // the user ended it
	}
	defer stream.Close()
	for event := range stream.C {
		state := event.To
		if event.Type == weft.EventSnapshot {
			state = event.State // as it is now
		}
		if state != "" {
			fmt.Printf("%s  %s is %s\n", event.Time.Format("15:04:05"), id, state)
		}
		if state == weft.StateReady {
			return nil
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return stream.Err()
}

// unregister has a context of its own, because that of the user may have ended.
func unregister(client *weft.Client, id string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := client.Unregister(ctx, id); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	fmt.Printf("%s is unregistered\n", id)
}
