/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The listener is on all addresses, because a redirected connection comes to that of the veth on which it arrives. The host's rules
 * let nothing else in there, and the forwarder asks of each connection whose it is.
 */
#include "daemon/host_services.h"

#include "base/err.h"
#include "config/config.h"
#include "daemon/daemon.h"
#include "daemon/endpoints.h"
#include "daemon/not_open.h"
#include "forwarder/forwarder.h"

#include <errno.h>
#include <stdlib.h>

static const char services_option[] = "[egress] service_port";

static struct fwd_service daemon_services_describe(const struct config_service *service)
{
	return (struct fwd_service){ .address = service->address,
				     .target = service->kind == CONFIG_SERVICE_UNIX
						   ? fwd_target_path(service->path, service->proxy_v2)
						   : fwd_target_address(&service->target, service->proxy_v2) };
}

int daemon_services_set(struct daemon *daemon, struct err *err)
{
	const struct config_service_list *wanted = &daemon->config->egress.allow_host;
	struct fwd_service *services = calloc(wanted->count + 1, sizeof(*services));
	size_t count = 0;
	int result;

	if (!services)
		return err_set(err, ENOMEM, "services");
	for (size_t i = 0; i < wanted->count; i++) {
		if (config_service_is_forwarded(&wanted->items[i]))
			services[count++] = daemon_services_describe(&wanted->items[i]);
	}
	result = fwd_set_services(daemon->forwarder, services, count, err);
	free(services);
	return result;
}

static struct addr daemon_services_address(const struct daemon *daemon)
{
	return addr_from_ipv4(INADDR_ANY, daemon->config->egress.service_port);
}

/* 0, or -1 with ERR. */
static int daemon_services_listen(struct daemon *daemon, struct err *err)
{
	const struct fwd_listener_options options = { .proto = PROTO_TCP, .services = true };
	const struct addr listen = daemon_services_address(daemon);

	daemon->service_listener = daemon_endpoints_listen(daemon, NULL, options, &listen, err);
	if (!daemon->service_listener)
		return -1;
	daemon_not_open_remove(daemon, &listen, PROTO_TCP);
	return 0;
}

static void daemon_services_note(struct daemon *daemon, const struct err *why)
{
	const struct addr listen = daemon_services_address(daemon);

	daemon_not_open_add(daemon, &listen, PROTO_TCP, NULL, services_option, why);
}

int daemon_services_open(struct daemon *daemon, struct err *err)
{
	if (!config_has_forwarded_service(daemon->config) || daemon_services_listen(daemon, err) == 0)
		return 0;
	if (!daemon_not_open_may_pass(err))
		return -1;
	daemon_services_note(daemon, err);
	return 0;
}

void daemon_services_retry(struct daemon *daemon)
{
	struct err err;

	if (config_has_forwarded_service(daemon->config) && !daemon->service_listener &&
	    daemon_services_listen(daemon, &err) < 0)
		daemon_services_note(daemon, &err);
}

void daemon_services_free(struct daemon *daemon)
{
	daemon->service_listener = NULL;
}
