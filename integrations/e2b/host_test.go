// SPDX-License-Identifier: GPL-2.0-or-later

package e2b

import (
	"strings"
	"testing"

	weft "weft.example/clients/go"
)

func TestAConfigurationThatDoesNotFitIsToldLineByLine(t *testing.T) {
	fake := newFakeWeftd(t)
	host := redirected()
	host.Services = []string{"192.0.2.1:80=5010", "192.0.2.1:111=5012"}
	host.Open = []string{"10.1.7.0/24", "203.0.113.0/24"}
	host.HostCIDR, host.VethCIDR, host.NetnsDir, host.NetnsPrefix, host.VethPrefix = "10.11.0.0/16", "10.12.0.0/16", "/run/netns", "ns-", "veth-"
	closePool(t, fake.pool(t, Options{Host: host}))

	host.Redirects = []string{"80:6016", "443:5017"}
	host.Services = append(host.Services, "192.0.2.1:2049=5011")
	host.Open = append(host.Open, "10.9.0.0/24")
	host.HostCIDR = "10.21.0.0/16"
	_, err := New(background(t), Options{Client: weft.New(fake.socket), Host: host})
	expected := []string{
		"[addresses] host_cidr = 10.21.0.0/16, not 10.11.0.0/16",
		"[egress] allow_host = 192.0.2.1:2049=5011",
		"[egress] open = 10.9.0.0/24",
		"[egress] redirect = 80:6016",
		"no [egress] redirect = *:5018",
		"no [egress] redirect = 80:5016",
	}
	if err == nil || err.Error() != "weftd.conf does not fit this orchestrator; it needs "+strings.Join(expected, "; ") {
		t.Error(err)
	}
}
