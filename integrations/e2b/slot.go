// SPDX-License-Identifier: GPL-2.0-or-later

package e2b

import (
	"errors"
	"fmt"
)

// Slot is the network of one sandbox: the namespace in which its VM is started, and the address at which the host reaches its
// guest.
type Slot struct {
	// ID is weft's id of the sandbox. It is invented at the claim, because E2B's orchestrator names the sandbox later (Assign).
	ID string
	// Number is the slot's number, from which E2B's orchestrator computes all the others.
	Number int
	// Netns is the name of the namespace and NetnsPath the file to which it is bound.
	Netns, NetnsPath string
	// Veth is the name of the veth's end on the host, TAP that of the TAP in the namespace.
	Veth, TAP string
	// HostIP is the address at which the host reaches the guest.
	HostIP string
	// GuestIP, GuestPrefix, GuestMAC and Gateway are the guest's side.
	GuestIP     string
	GuestPrefix int
	GuestMAC    string
	Gateway     string
}

// Differences compares two slots, but for their ids and the paths of their namespaces, and names each member that differs.
// It returns nil if they are the same.
func (s Slot) Differences(expected Slot) error {
	var found []error
	differ := func(what string, is, wanted any) {
		if is != wanted {
			found = append(found, fmt.Errorf("its %s is %v, and E2B computes %v", what, is, wanted))
		}
	}
	differ("number", s.Number, expected.Number)
	differ("namespace", s.Netns, expected.Netns)
	differ("veth", s.Veth, expected.Veth)
	differ("TAP", s.TAP, expected.TAP)
	differ("host address", s.HostIP, expected.HostIP)
	differ("guest's address", s.GuestIP, expected.GuestIP)
	differ("guest's prefix", s.GuestPrefix, expected.GuestPrefix)
	differ("guest's MAC", s.GuestMAC, expected.GuestMAC)
	differ("gateway", s.Gateway, expected.Gateway)
	return join(found)
}

// join is errors.Join of newer Go, in one line.
func join(all []error) error {
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return joined(all)
}

type joined []error

func (j joined) Error() string {
	text := j[0].Error()
	for _, err := range j[1:] {
		text += "; " + err.Error()
	}
	return text
}

// Is lets errors.Is find each of them.
func (j joined) Is(target error) bool {
	for _, err := range j {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}
