/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A browser that was lured to a name which resolves to this host's loopback sends that name as Host. So only requests for an
 * address that was configured (or "localhost", for a loopback one) are answered, and those without a Host, which no browser sends,
 * but the health checks of load balancers do (HTTP/1.0).
 */
#include "base/addr.h"
#include "base/bind.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "config/config.h"
#include "control/api.h"
#include "control/control.h"
#include "control/control_internal.h"
#include "control/reply.h"
#include "http/gate.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum {
	UNANSWERED_MS = 60000,
	/* Their descriptors are taken from what is set aside for the manager. */
	READERS_MAX = 256,
	READERS_READING_MAX = 64,
};

struct control_http {
	struct http_gate *gate;
	struct api *api;
	const struct config *config;
	bool *open;                          /* by address of the option */
	const struct control_keeper *keeper; /* NULL: none */
};

/* Whether HOST, with or without a port, names ADDR. */
static bool control_http_names(const char *host, const struct addr *addr)
{
	char with_port[ADDR_TEXT_SIZE], localhost[32];

	addr_format(addr, with_port);
	size_t bare = (size_t)(strrchr(with_port, ':') - with_port);
	if (!strcasecmp(host, with_port))
		return true;
	if (addr_port(addr) == 80 && strlen(host) == bare && !strncasecmp(host, with_port, bare))
		return true;
	if (!addr_is_loopback(addr))
		return false;
	snprintf(localhost, sizeof(localhost), "localhost:%u", addr_port(addr));
	return !strcasecmp(host, localhost) || (addr_port(addr) == 80 && !strcasecmp(host, "localhost"));
}

/* A wildcard address is named by the address that the client connected to; that is no name, so it cannot be rebound. */
static bool control_http_host_is_ours(const struct control_http *http, const char *host, int fd)
{
	struct addr local;
	socklen_t size = sizeof(local);

	for (size_t i = 0; i < http->config->http.listen.count; i++) {
		const struct addr *addr = &http->config->http.listen.items[i];
		if (addr_is_wildcard(addr) && !getsockname(fd, &local.any, &size) && control_http_names(host, &local))
			return true;
		if (control_http_names(host, addr))
			return true;
	}
	return false;
}

static void control_http_on_request(void *context, const struct http_request *request, struct http_exchange *exchange)
{
	struct control_http *http = context;
	struct control_reply *reply = control_reply_new(exchange, request);

	if (!reply)
		return;
	if (request->has_host && !control_http_host_is_ours(http, request->host, request->fd))
		control_reply_refusal(reply, 403, NULL,
				      "the Host, or the authority of the target, names no address of [http] listen: "
				      "ask by that address, not by a name",
				      NULL);
	else
		control_api_handle(http->api, request, true, reply);
}

static int control_http_listen(struct control_http *http, const struct addr *addr, struct err *err)
{
	const struct control_keeper *keeper = http->keeper;
	int unanswered_ms = UNANSWERED_MS;
	char text[ADDR_TEXT_SIZE];
	AUTO_FD int fd = keeper ? keeper->take(keeper->context, addr) : -1;

	addr_format(addr, text);
	if (fd < 0)
		fd = base_bind(addr, SOCK_STREAM, err);
	if (fd < 0)
		return err_set(err, err->code, "[http] listen = %s", text);
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || listen(fd, SOMAXCONN) < 0) {
		err_set(err, errno, "[http] listen = %s", text);
		if (keeper)
			keeper->closing(keeper->context, fd);
		return -1;
	}
	/* Accepted sockets inherit it: a reader that vanished, or takes nothing, must not hold its stream for long. */
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unanswered_ms, sizeof(unanswered_ms));
	int listening = fd;
	if (http_gate_listen(http->gate, steal_fd(&fd), err) < 0)
		return -1;
	if (keeper)
		keeper->opened(keeper->context, listening);
	return 0;
}

static const struct http_gate_ops gate_ops = { control_http_on_request, control_reply_refusal_text,
					       control_reply_problem_type, CONTROL_API_FIELD };

struct control_http *control_http_new(struct control *control, struct event_base *base, const struct config *config,
				      struct err *err)
{
	struct control_http *http = calloc(1, sizeof(*http));

	if (!http) {
		err_set(err, ENOMEM, "[http] listen");
		return NULL;
	}
	http->api = control_api(control);
	http->config = config;
	http->keeper = control_keeper(control);
	http->open = calloc(config->http.listen.count + 1, sizeof(*http->open));
	if (!http->open)
		err_set(err, ENOMEM, "[http] listen");
	else
		http->gate = http_gate_new(base, &gate_ops, http, err);
	if (http->gate) {
		http_gate_set_caps(http->gate, READERS_MAX, READERS_READING_MAX);
		return http;
	}
	control_http_free(http);
	return NULL;
}

int control_http_open(struct control_http *http, size_t index, struct err *err)
{
	if (control_http_listen(http, &http->config->http.listen.items[index], err) < 0)
		return -1;
	http->open[index] = true;
	return 0;
}

bool control_http_is_open(const struct control_http *http, size_t index)
{
	return http->open[index];
}

void control_http_free(struct control_http *http)
{
	if (!http)
		return;
	http_gate_free(http->gate);
	free(http->open);
	free(http);
}

size_t control_http_clients(const struct control_http *http)
{
	return http ? http_gate_peers(http->gate) : 0;
}
