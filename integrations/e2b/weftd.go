// SPDX-License-Identifier: GPL-2.0-or-later

package e2b

import (
	weft "weft.example/clients/go"
)

// registration is the body by which a slot is claimed.
func (p *Pool) registration(egress Egress) (weft.Registration, error) {
	policy, err := p.policy(egress)
	if err != nil {
		return weft.Registration{}, err
	}
	return weft.Registration{Egress: policy, Labels: map[string]string{labelPool: p.options.Owner}}, nil
}

// policy translates a policy. The networks that are open to all come first in it, as E2B allows them before it looks at what a
// user denies.
func (p *Pool) policy(egress Egress) (*weft.Egress, error) {
	if err := egress.refusal(len(p.options.Host.Redirects) > 0); err != nil {
		return nil, err
	}
	allow, err := networks("allowed", append(append([]string{}, p.options.Host.Open...), egress.Allow...))
	if err != nil {
		return nil, err
	}
	deny, err := networks("denied", egress.Deny)
	if err != nil {
		return nil, err
	}
	yes := true
	return &weft.Egress{Internet: &yes, Allow: rules(allow), Deny: rules(deny), DSCP: &egress.DSCP}, nil
}

func rules(networks []string) []weft.Rule {
	all := make([]weft.Rule, len(networks))
	for i, network := range networks {
		all[i].CIDR = network
	}
	return all
}

// slotOf reads weft's answer.
func slotOf(sandbox *weft.Sandbox) Slot {
	return Slot{
		ID:          sandbox.ID,
		Number:      sandbox.Slot,
		Netns:       sandbox.Netns,
		NetnsPath:   sandbox.NetnsPath,
		Veth:        sandbox.Veth,
		TAP:         sandbox.TAP,
		HostIP:      sandbox.HostIP,
		GuestIP:     sandbox.Guest.IP,
		GuestPrefix: sandbox.Guest.Prefix,
		GuestMAC:    sandbox.Guest.MAC,
		Gateway:     sandbox.Guest.Gateway,
	}
}
