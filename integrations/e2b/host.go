// SPDX-License-Identifier: GPL-2.0-or-later

package e2b

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"sort"
	"strings"

	weft "weft.example/clients/go"
)

// Host is what weftd's configuration must have for an orchestrator. The zero value of each member demands nothing.
type Host struct {
	// HostCIDR and VethCIDR are the ranges of host addresses and veths.
	HostCIDR, VethCIDR string
	// NetnsDir is where namespaces are bound; NetnsPrefix and VethPrefix come before a slot's number in names.
	NetnsDir, NetnsPrefix, VethPrefix string
	// Redirects are the lines of [egress] redirect: to which port of this host guests' TCP goes. With them set, Egress.Domains is
	// left to the proxy that listens there.
	Redirects []string
	// Services are the first parts of the lines of [egress] allow_host that must be there, such as "192.0.2.1:80=5010".
	Services []string
	// Open are networks that all guests may reach, whatever a sandbox's own policy denies, and although they are in the ranges
	// that weft always denies.
	Open []string
}

// check compares what is wanted with what weftd says that it goes by, and names all that is missing, as lines of weftd.conf.
func (h Host) check(status *weft.Status) error {
	var missing []string
	want := func(section, key, wanted, has string) {
		if wanted != "" && wanted != has {
			missing = append(missing, fmt.Sprintf("[%s] %s = %s, not %s", section, key, wanted, has))
		}
	}
	layout := status.Uses.Layouts[0]
	want("addresses", "host_cidr", h.HostCIDR, layout.HostCIDR)
	want("addresses", "veth_cidr", h.VethCIDR, layout.VethCIDR)
	want("names", "netns_prefix", h.NetnsPrefix, layout.NetnsPrefix)
	want("names", "veth_prefix", h.VethPrefix, layout.VethPrefix)
	want("names", "netns_dir", realPath(h.NetnsDir), realPath(layout.NetnsDir))
	missing = append(missing, h.missingLines(status.Uses.Options["egress"])...)
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("weftd.conf does not fit this orchestrator; it needs %s", strings.Join(missing, "; "))
}

// missingLines looks at the lists of the section [egress].
func (h Host) missingLines(egress map[string]weft.OptionValues) []string {
	var missing []string
	has := map[string]bool{}
	for _, line := range egress["redirect"] {
		has[line] = true
	}
	for _, line := range h.Redirects {
		if !has[line] {
			missing = append(missing, "[egress] redirect = "+line)
		}
		delete(has, line)
	}
	for line := range has {
		if len(h.Redirects) > 0 {
			missing = append(missing, "no [egress] redirect = "+line)
		}
	}
	for _, service := range h.Services {
		if !hasLine(egress["allow_host"], service) {
			missing = append(missing, "[egress] allow_host = "+service)
		}
	}
	for _, network := range h.Open {
		if denied(network) && !opened(egress["open"], network) {
			missing = append(missing, "[egress] open = "+network)
		}
	}
	sort.Strings(missing)
	return missing
}

// hasLine says whether a list has a line, with options behind it or without.
func hasLine(list weft.OptionValues, wanted string) bool {
	for _, line := range list {
		if line == wanted || strings.HasPrefix(line, wanted+",") {
			return true
		}
	}
	return false
}

// What weft denies all guests unless [egress] open has it.
var alwaysDenied = []string{"10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"}

// denied says whether a network is, in part, in the ranges that are always denied.
func denied(text string) bool {
	network, err := netip.ParsePrefix(text)
	for _, one := range alwaysDenied {
		if err == nil && netip.MustParsePrefix(one).Overlaps(network) {
			return true
		}
	}
	return err != nil
}

// opened says whether one of the networks of a list has a network within it.
func opened(list weft.OptionValues, wanted string) bool {
	inner, err := netip.ParsePrefix(wanted)
	if err != nil {
		return false
	}
	for _, text := range list {
		outer, err := netip.ParsePrefix(text)
		if err == nil && outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr()) {
			return true
		}
	}
	return false
}

// realPath follows links, as /var/run is one to /run.
func realPath(path string) string {
	if path == "" {
		return ""
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return filepath.Clean(path)
}
