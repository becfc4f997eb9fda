/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The server for readers over TCP listens on as many of its addresses as it gets. The control socket does not depend on it.
 */
#include "daemon/http_endpoint.h"

#include "base/err.h"
#include "config/config.h"
#include "control/control.h"
#include "daemon/daemon.h"
#include "daemon/not_open.h"

static const char http_option[] = "[http] listen";

static int daemon_http_listen(struct daemon *daemon, size_t index, struct err *err)
{
	if (control_http_open(daemon->http, index, err) < 0)
		return -1;
	daemon_not_open_remove(daemon, &daemon->config->http.listen.items[index], PROTO_TCP);
	return 0;
}

static void daemon_http_note(struct daemon *daemon, size_t index, const struct err *err)
{
	daemon_not_open_add(daemon, &daemon->config->http.listen.items[index], PROTO_TCP, NULL, http_option, err);
}

int daemon_http_open(struct daemon *daemon, struct err *err)
{
	size_t count = daemon->config->http.listen.count;

	if (!count)
		return 0;
	daemon->http = control_http_new(daemon->control, daemon->base, daemon->config, err);
	if (!daemon->http)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (daemon_http_listen(daemon, i, err) == 0)
			continue;
		if (!daemon_not_open_may_pass(err))
			return -1;
		daemon_http_note(daemon, i, err);
	}
	return 0;
}

void daemon_http_retry(struct daemon *daemon)
{
	struct err err;

	for (size_t i = 0; daemon->http && i < daemon->config->http.listen.count; i++)
		if (!control_http_is_open(daemon->http, i) && daemon_http_listen(daemon, i, &err) < 0)
			daemon_http_note(daemon, i, &err);
}

void daemon_http_close(struct daemon *daemon)
{
	control_http_free(daemon->http);
	daemon->http = NULL;
}
