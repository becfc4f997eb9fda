// SPDX-License-Identifier: GPL-2.0-or-later

package e2b

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// egressOf is the policy in a body.
func egressOf(t *testing.T, body string) map[string]any {
	t.Helper()
	var members map[string]map[string]any
	if err := json.Unmarshal([]byte(body), &members); err != nil {
		t.Fatal(err, body)
	}
	return members["egress"]
}

// cidrs are the networks of a list, however each is written.
func cidrs(list any) []string {
	all := []string{}
	rules, _ := list.([]any)
	for _, rule := range rules {
		switch rule := rule.(type) {
		case string:
			all = append(all, rule)
		case map[string]any:
			all = append(all, rule["cidr"].(string))
		}
	}
	return all
}

func TestAPolicyIsTranslated(t *testing.T) {
	fake := newFakeWeftd(t)
	host := redirected()
	host.Open = []string{"10.1.2.0/24", "203.0.113.0/24"}
	pool := fake.pool(t, Options{Host: host})
	slot := claimOne(t, pool, Egress{Allow: []string{"8.8.8.8", "198.51.100.7/24", "2001:db8::/32"}, Deny: []string{"0.0.0.0/0", "::/0"},
		Domains: []string{"pypi.org"}, DSCP: 8})
	is := egressOf(t, fake.body("PUT"))
	if is["internet"] != true || is["dscp"] != 8.0 ||
		!reflect.DeepEqual(cidrs(is["allow"]), []string{"10.1.2.0/24", "203.0.113.0/24", "8.8.8.8/32", "198.51.100.0/24"}) ||
		!reflect.DeepEqual(cidrs(is["deny"]), []string{"0.0.0.0/0"}) {
		t.Error(is)
	}
	if err := pool.Deny(background(t), slot.ID); err != nil {
		t.Fatal(err)
	}
	if is = egressOf(t, fake.body("PATCH")); is["isolated"] != true || is["dscp"] != 8.0 {
		t.Error(is)
	}
	if err := pool.SetEgress(background(t), slot.ID, Egress{Deny: []string{"::ffff:9.9.9.9", "::ffff:9.9.8.0/120", "9.9.9.9"}}); err != nil {
		t.Fatal(err)
	}
	if is = egressOf(t, fake.body("PATCH")); is["isolated"] == true || is["dscp"] != 8.0 || !reflect.DeepEqual(cidrs(is["deny"]), []string{"9.9.9.9/32", "9.9.8.0/24"}) {
		t.Error(is)
	}
}

func TestWhatWeftCannotDoIsRefused(t *testing.T) {
	fake := newFakeWeftd(t)
	judged, open := fake.pool(t, Options{Host: redirected()}), fake.pool(t, Options{})
	slot := claimOne(t, judged, Egress{})
	for _, one := range []struct {
		pool     *Pool
		egress   Egress
		expected error
	}{
		{judged, Egress{Proxy: "proxy.example.com:1080"}, ErrProxy},
		{judged, Egress{Transforms: true}, ErrTransforms},
		{open, Egress{Domains: []string{"pypi.org"}}, ErrDomains},
	} {
		if _, err := one.pool.Get(background(t), one.egress); !errors.Is(err, one.expected) {
			t.Error(err, one.expected)
		}
		if one.pool == judged {
			if err := judged.SetEgress(background(t), slot.ID, one.egress); !errors.Is(err, one.expected) {
				t.Error(err, one.expected)
			}
		}
	}
	if _, err := judged.Get(background(t), Egress{Deny: []string{"pypi.org"}}); err == nil || !strings.Contains(err.Error(), `denied network "pypi.org"`) {
		t.Error(err)
	}
	if fake.called("PUT") != 1 || fake.called("PATCH") != 0 {
		t.Error(fake.calls)
	}
}
