// SPDX-License-Identifier: GPL-2.0-or-later

package e2b

import (
	"errors"
	"fmt"
	"net/netip"
)

// What E2B's API can ask for and weft does not do. E2B's open build refuses the first two by itself; these errors are for callers
// that reach the pool all the same.
var (
	// ErrProxy refuses a SOCKS5 proxy of the user's own.
	ErrProxy = errors.New("egress proxy is not supported by this orchestrator build")
	// ErrTransforms refuses rules that change the headers of requests.
	ErrTransforms = errors.New("network transform rules are not supported by this orchestrator build")
	// ErrDomains refuses names where nobody looks at them, because weftd hands TCP to no proxy.
	ErrDomains = errors.New("allowed domains need E2B's TCP firewall: set [egress] redirect in weftd.conf")
)

// Egress is what a guest may reach, in the words of E2B's orchestrator.
type Egress struct {
	// Allow and Deny are IPv4 networks or addresses. Allow wins over Deny; what neither has is allowed.
	Allow, Deny []string
	// Domains are names that are allowed. E2B's TCP firewall judges them, not weft.
	Domains []string
	// DSCP marks what leaves the sandbox; 0 is none.
	DSCP int
	// Proxy is the address of the user's own SOCKS5 proxy, and Transforms says that there are header transforms. Both are refused.
	Proxy      string
	Transforms bool
}

// refusal says what of the policy cannot be done.
func (e Egress) refusal(handedOver bool) error {
	switch {
	case e.Proxy != "":
		return ErrProxy
	case e.Transforms:
		return ErrTransforms
	case len(e.Domains) > 0 && !handedOver:
		return ErrDomains
	}
	return nil
}

// mapped returns the IPv4 network that is written as one of IPv6 (::ffff:192.0.2.1), and any other as it is.
func mapped(network netip.Prefix) netip.Prefix {
	if network.Addr().Is4In6() && network.Bits() >= 96 {
		return netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-96)
	}
	return network
}

// networks returns the IPv4 networks of a list. IPv6 is left out: no guest has any. Name says which list it is, in errors.
func networks(name string, list []string) ([]string, error) {
	kept := []string{}
	seen := map[netip.Prefix]bool{}
	for _, text := range list {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			address, wrong := netip.ParseAddr(text)
			if wrong != nil {
				return nil, fmt.Errorf("%s network %q is neither an address nor a network", name, text)
			}
			network = netip.PrefixFrom(address, address.BitLen())
		}
		if network = mapped(network).Masked(); network.Addr().Is4() && !seen[network] {
			seen[network] = true
			kept = append(kept, network.String())
		}
	}
	return kept, nil
}
