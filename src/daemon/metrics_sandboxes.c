/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Series for each sandbox, where the configuration asks for them: off by default, because monitoring systems do not bear a label
 * with thousands of values that come and go. Ids and names need no escaping: see
 * registry_sandbox_id_is_valid().
 */
#include "base/addr.h"
#include "config/config.h"
#include "daemon/daemon.h"
#include "daemon/metrics_write.h"
#include "daemon/tenant.h"
#include "registry/registry.h"

#include <inttypes.h>

typedef uint64_t metrics_read(const struct sandbox *sandbox);

/* A line for each sandbox, with the value that READ returns. */
static void daemon_metrics_write_series(FILE *out, struct daemon *daemon, const char *name, const char *label,
					metrics_read *read)
{
	for (struct sandbox *sandbox = registry_next(daemon->registry, 0); sandbox;
	     sandbox = registry_next(daemon->registry, sandbox->slot))
		fprintf(out, "%s{sandbox=\"%s\"%s} %" PRIu64 "\n", name, sandbox->id, label, read(sandbox));
}

static void daemon_metrics_write_metric(FILE *out, struct daemon *daemon, const char *name, const char *type,
					const char *help, metrics_read *read)
{
	daemon_metrics_write_head(out, name, type, help);
	daemon_metrics_write_series(out, daemon, name, "", read);
}

static void daemon_metrics_write_both_ways(FILE *out, struct daemon *daemon, const char *name, const char *help,
					   metrics_read *to_guest, metrics_read *from_guest)
{
	daemon_metrics_write_head(out, name, "counter", help);
	daemon_metrics_write_series(out, daemon, name, ",direction=\"to_guest\"", to_guest);
	daemon_metrics_write_series(out, daemon, name, ",direction=\"from_guest\"", from_guest);
}

static uint64_t daemon_metrics_bytes_to_guest(const struct sandbox *sandbox)
{
	return sandbox->counters.bytes_to_guest;
}

static uint64_t daemon_metrics_bytes_from_guest(const struct sandbox *sandbox)
{
	return sandbox->counters.bytes_from_guest;
}

static uint64_t daemon_metrics_packets_to_guest(const struct sandbox *sandbox)
{
	return sandbox->counters.packets_to_guest;
}

static uint64_t daemon_metrics_packets_from_guest(const struct sandbox *sandbox)
{
	return sandbox->counters.packets_from_guest;
}

static uint64_t daemon_metrics_connections_total(const struct sandbox *sandbox)
{
	return sandbox->counters.connections_total;
}

static uint64_t daemon_metrics_connections_open(const struct sandbox *sandbox)
{
	return sandbox->counters.connections_open;
}

static uint64_t daemon_metrics_connections_held(const struct sandbox *sandbox)
{
	return sandbox->counters.connections_held;
}

static uint64_t daemon_metrics_drops_total(const struct sandbox *sandbox)
{
	return sandbox->counters.drops_total;
}

static uint64_t daemon_metrics_is_ready(const struct sandbox *sandbox)
{
	return sandbox->state == SANDBOX_READY;
}

static uint64_t daemon_metrics_last_activity(const struct sandbox *sandbox)
{
	return (uint64_t)sandbox->last_activity_ms / 1000;
}

/* For people and dashboards: joined to another series by its sandbox, it gives that series the name. */
static void daemon_metrics_write_info(FILE *out, struct daemon *daemon)
{
	char ip[IPV4_TEXT_SIZE];

	daemon_metrics_write_head(out, "weft_sandbox_info", "gauge",
				  "1; its labels are the sandbox's id, name, slot and address.");
	for (struct sandbox *sandbox = registry_next(daemon->registry, 0); sandbox;
	     sandbox = registry_next(daemon->registry, sandbox->slot))
		fprintf(out, "weft_sandbox_info{sandbox=\"%s\",name=\"%s\",slot=\"%u\",host_ip=\"%s\"} 1\n",
			sandbox->id, sandbox->spec->name, sandbox->slot,
			addr_ipv4_format(config_host_ip(sandbox->layout, sandbox->slot), ip));
}

void daemon_metrics_write_sandboxes(FILE *out, struct daemon *daemon)
{
	for (struct sandbox *sandbox = registry_next(daemon->registry, 0); sandbox;
	     sandbox = registry_next(daemon->registry, sandbox->slot))
		daemon_tenant_refresh(sandbox);
	daemon_metrics_write_info(out, daemon);
	daemon_metrics_write_both_ways(out, daemon, "weft_sandbox_bytes_total", "Bytes that passed the TAP.",
				       daemon_metrics_bytes_to_guest, daemon_metrics_bytes_from_guest);
	daemon_metrics_write_both_ways(out, daemon, "weft_sandbox_packets_total", "Packets that passed the TAP.",
				       daemon_metrics_packets_to_guest, daemon_metrics_packets_from_guest);
	daemon_metrics_write_metric(out, daemon, "weft_sandbox_connections_total", "counter",
				    "Connections that the forwarder accepted for it.",
				    daemon_metrics_connections_total);
	daemon_metrics_write_metric(out, daemon, "weft_sandbox_connections_open", "gauge",
				    "Those that are connected to the guest.", daemon_metrics_connections_open);
	daemon_metrics_write_metric(out, daemon, "weft_sandbox_connections_held", "gauge",
				    "Those that wait for the guest.", daemon_metrics_connections_held);
	daemon_metrics_write_metric(
	    out, daemon, "weft_sandbox_drops_total", "counter",
	    "Packets of the guest that were denied or dropped, and datagrams of its UDP endpoints that were lost.",
	    daemon_metrics_drops_total);
	daemon_metrics_write_metric(out, daemon, "weft_sandbox_ready", "gauge",
				    "Whether the guest accepts connections.", daemon_metrics_is_ready);
	daemon_metrics_write_metric(out, daemon, "weft_sandbox_last_activity_timestamp_seconds", "gauge",
				    "When it was last seen busy; 0: never.", daemon_metrics_last_activity);
}
