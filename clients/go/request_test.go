// SPDX-License-Identifier: GPL-2.0-or-later

package weft

import (
	"encoding/json"
	"reflect"
	"testing"
)

func TestRequestsAreWhatTheAPIHas(t *testing.T) {
	for _, one := range []struct {
		value any
		text  string
	}{
		{Registration{}, `{}`},
		{Registration{Name: "web", Ports: []Port{{GuestPort: 80}}, Default: true, ReadyPort: 80, TAPOwner: &TAPOwner{0, 100}},
			`{"name":"web","ports":[80],"default":true,"ready_port":80,"tap_owner":{"uid":0,"gid":100}}`},
		{Port{GuestPort: 53, Listen: []string{"localhost:53"}, Proto: ProtoUDP}, `{"guest_port":53,"listen":["localhost:53"],"proto":"udp"}`},
		{Port{GuestPort: 80, Via: ViaNAT}, `{"guest_port":80,"via":"nat"}`},
		{Port{GuestPort: 80, ProxyProtocol: ProxyV2}, `{"guest_port":80,"proxy_protocol":"v2"}`},
		{Egress{}, `{}`},
		{Egress{Internet: Ptr(false), DSCP: Ptr(0), Isolated: Ptr(true)}, `{"internet":false,"dscp":0,"isolated":true}`},
		{Rule{CIDR: "10.0.0.0/8"}, `"10.0.0.0/8"`},
		{Rule{CIDR: "10.0.0.1", Proto: "gre"}, `{"cidr":"10.0.0.1","proto":"gre"}`},
		{Rule{CIDR: "10.0.0.1", Proto: "47"}, `{"cidr":"10.0.0.1","proto":47}`},
		{Rule{CIDR: "10.0.0.1", Proto: "tcp", Ports: []PortRange{{First: 443}, {First: 8000, Last: 8099}}},
			`{"cidr":"10.0.0.1","proto":"tcp","ports":[443,"8000-8099"]}`},
		{Bandwidth{ToGuest: &Rate{Rate: 0}}, `{"to_guest":{"rate":0}}`},
		{Limits{IdleMS: Ptr(int64(0))}, `{"idle_ms":0}`},
		{Door{}, `{}`},
		{Door{Public: Ptr(false), TokenSHA256: TokenSHA256("secret"), Ports: map[string]DoorAccess{"80": DoorToken}},
			`{"public":false,"token_sha256":"K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=","ports":{"80":"token"}}`},
		{Wake{}, `{}`},
		{Wake{Ports: WakePorts{WakeAny}, MinAwakeMS: Ptr(int64(0)), TimeoutMS: 1000}, `{"ports":"any","min_awake_ms":0,"timeout_ms":1000}`},
		{Registration{Wake: &Wake{Ports: WakePorts{"8080", "5353/udp"}}, IdleReportMS: 5}, `{"wake":{"ports":["8080","5353/udp"]},"idle_report_ms":5}`},
		{Patch{Wake: &Wake{Never: true}, IdleReportMS: Ptr(int64(0))}, `{"idle_report_ms":0,"wake":null}`},
		{Patch{}, `{}`},
		{Patch{Name: Ptr(""), Labels: map[string]string{}, Egress: &Egress{}}, `{"egress":{},"labels":{},"name":""}`},
		{Patch{Publish: []Port{{GuestPort: 80}}, Unpublish: []string{"81", "53/udp", "127.0.0.1:82"}},
			`{"publish":[80],"unpublish":[81,"53/udp","127.0.0.1:82"]}`},
		{Patch{Default: DefaultOn}, `{"default":true}`},
		{Patch{Default: DefaultOff}, `{"default":false}`},
		{Patch{Default: DefaultTake}, `{"default":"take"}`},
		{Patch{Paused: Ptr(false), Flows: FlowsReset}, `{"flows":"reset","paused":false}`},
		{Patch{Bandwidth: &Bandwidth{}, Limits: &Limits{Connections: Ptr(5)}}, `{"bandwidth":{},"limits":{"connections":5}}`},
	} {
		text, err := json.Marshal(one.value)
		if err != nil || string(text) != one.text {
			t.Errorf("%+v: %s %v, not %s", one.value, text, err, one.text)
		}
	}
}

func TestPortsAndRulesAreReadInEachForm(t *testing.T) {
	var ports []Port
	text := `[80, {"guest_port": 81, "listen": "127.0.0.1:81"}, {"guest_port": 82, "listen": ["a", "b"], "proto": "udp", "via": "nat", "proxy_protocol": "v2"}]`
	wanted := []Port{
		{GuestPort: 80}, {GuestPort: 81, Listen: []string{"127.0.0.1:81"}},
		{GuestPort: 82, Listen: []string{"a", "b"}, Proto: ProtoUDP, Via: ViaNAT, ProxyProtocol: ProxyV2},
	}
	if err := json.Unmarshal([]byte(text), &ports); err != nil || !reflect.DeepEqual(ports, wanted) {
		t.Errorf("%+v %v", ports, err)
	}
	var rules []Rule
	text = `["10.0.0.0/8", {"cidr": "a", "proto": 47}, {"cidr": "b", "proto": "tcp", "ports": [1, "2-3"]}]`
	expected := []Rule{{CIDR: "10.0.0.0/8"}, {CIDR: "a", Proto: "47"}, {CIDR: "b", Proto: "tcp", Ports: []PortRange{{First: 1}, {2, 3}}}}
	if err := json.Unmarshal([]byte(text), &rules); err != nil || !reflect.DeepEqual(rules, expected) {
		t.Errorf("%+v %v", rules, err)
	}
	for _, wrong := range []string{`[[]]`, `[{"cidr": 1}]`, `[{"cidr": "a", "ports": ["x"]}]`} {
		if json.Unmarshal([]byte(wrong), &rules) == nil {
			t.Errorf("%s is read as %+v", wrong, rules)
		}
	}
}

func TestPortsThatWakeAreReadInEachForm(t *testing.T) {
	for text, wanted := range map[string]WakePorts{
		`[8080, "5353/udp"]`: {"8080", "5353/udp"}, `"published"`: {WakePublished}, `"any"`: {WakeAny},
	} {
		var ports WakePorts
		if err := json.Unmarshal([]byte(text), &ports); err != nil || !reflect.DeepEqual(ports, wanted) {
			t.Errorf("%s: %v %v", text, ports, err)
		}
	}
	for _, wrong := range []string{`8080`, `{}`, `[null]`, `[[]]`} {
		var ports WakePorts
		if json.Unmarshal([]byte(wrong), &ports) == nil {
			t.Errorf("%s is read as %v", wrong, ports)
		}
	}
}
