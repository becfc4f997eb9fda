/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Without forwarding, packets pass only between a sandbox and the host itself.
 */
#include "config/config.h"
#include "health/doctor.h"

void check_ip_forward(const struct health_facts *facts, struct health_report *report)
{
	bool required = facts->config->host.ip_forward == HOST_FORWARD_REQUIRE;
	struct health_finding *finding;
	long long value;

	if (!health_read_number(facts, "/proc/sys/net/ipv4/ip_forward", &value)) {
		health_add(report, "ip_forward", HEALTH_SKIPPED, "net.ipv4.ip_forward is not visible from here");
		return;
	}
	if (value) {
		health_add(report, "ip_forward", HEALTH_OK, "net.ipv4.ip_forward is %lld", value);
		return;
	}
	/* No fault yet while weftd is down: it turns forwarding on at its start, where it may. */
	bool runs = health_daemon(facts) != 0, pending = !required && !runs;
	finding = health_add(report, "ip_forward", pending ? HEALTH_WARN : HEALTH_FAIL, "net.ipv4.ip_forward is 0");
	if (required)
		health_ends_start(finding);
	health_why(finding, "the kernel drops packets from sandboxes to other hosts; %s",
		   required && runs ? "weftd would not start again, because of [host] ip_forward = require"
		   : required       ? "[host] ip_forward = require makes weftd refuse to start"
		   : pending        ? "weftd turns it on at its start"
				    : "weftd turns it on again, at most once in ten seconds and twice "
				      "in a minute, and another program keeps turning it off");
	health_fix(finding, "sysctl -w net.ipv4.ip_forward=1 (and in /etc/sysctl.d, to keep it)");
}
