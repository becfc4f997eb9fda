/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * So far no host has the table.
 */
#include "daemon/loopback.h"

#include "config/config.h"
#include "daemon/daemon.h"
#include "registry/endpoint_path.h"

static const char *daemon_loopback_mode(const struct config *config)
{
	switch (config->forwarder.loopback) {
	case LOOPBACK_FORWARDER:
		return "forwarder";
	case LOOPBACK_KERNEL:
		return "kernel";
	case LOOPBACK_AUTO:
		return "auto";
	}
	return "unknown";
}

json_t *daemon_loopback_describe(const struct daemon *daemon)
{
	return json_pack("{s:s, s:b, s:n, s:b, s:i, s:i, s:n, s:s, s:n}", "mode", daemon_loopback_mode(daemon->config),
			 "open", false, "cgroup", "ipv6", false, "entries", 0, "wanted", 0, "error", "default_path",
			 "forwarder", "default_path_reason");
}
