/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The forwarder without the daemon around it, for its integration tests: commands on stdin, one a line, each answered by one line
 * that begins with "ok" or "error". Later events are lines that begin with "event". It ends, in order, with its stdin.
 *
 *	route ID PATH             a route into the namespace at PATH ("-": none yet)
 *	namespace ID PATH         ("-": it is gone)
 *	up ID 0|1, ready ID 0|1, pause ID, resume ID keep|reset
 *	limits ID CONNECTIONS CONNECT_DEADLINE_MS IDLE_MS HALF_CLOSED_MS KEEPALIVE_MS
 *	listen NAME ID|- ADDRESS PORT [proxy] [udp]      "-": the default endpoint
 *	unlisten NAME reset|keep
 *	default ID|-
 *	wait MS                   how long clients of the default endpoint are held while it has no backend
 *	close ID DRAIN_MS         event closed ID
 *	probe ID PORT             event accepted ID PORT
 *	stats                     ok NAME=VALUE...
 *	routestats ID             ok NAME=VALUE...
 *	list ID                   ok COUNT STATE/ENDPOINT/CLIENT/TO/FROM/CONNECT_MS...
 *	drain MS                  event drained
 *	nofile N                  sets RLIMIT_NOFILE
 *	option NAME N             sandbox_connections, udp_flows, udp_flows_per_client
 */
#include "base/err.h"
#include "base/netns.h"
#include "base/queue.h"
#include "config/config.h"
#include "forwarder/forwarder.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 8, LINE_MAX_SIZE = 4096 };

struct named_route {
	LIST_ENTRY(named_route) link;
	char id[64];
	struct fwd_route *route;
	struct fwd_probe *probe;
	uint16_t probe_port;
	int netns_fd;
};

struct named_listener {
	LIST_ENTRY(named_listener) link;
	char name[64];
	struct fwd_listener *listener;
};

static LIST_HEAD(, named_route) routes = LIST_HEAD_INITIALIZER(routes);
static LIST_HEAD(, named_listener) listeners = LIST_HEAD_INITIALIZER(listeners);
static struct forwarder *forwarder;
static struct event_base *base;
static struct config *config;

static void ok(void)
{
	puts("ok");
}

static struct named_route *find_route(const char *id)
{
	struct named_route *found;

	LIST_FOREACH(found, &routes, link)
	{
		if (strcmp(found->id, id) == 0)
			return found;
	}
	fprintf(stderr, "no route %s\n", id);
	exit(EXIT_FAILURE);
}

static struct named_listener *find_listener(const char *name)
{
	struct named_listener *found;

	LIST_FOREACH(found, &listeners, link)
	{
		if (strcmp(found->name, name) == 0)
			return found;
	}
	fprintf(stderr, "no listener %s\n", name);
	exit(EXIT_FAILURE);
}

static unsigned number(const char *text)
{
	return (unsigned)strtoul(text, NULL, 10);
}

/* ---- Commands ---- */

static void do_route(char **arguments)
{
	struct limits limits = { .connect_deadline_ms = 60000, .keepalive_ms = 15000 };
	struct named_route *made = calloc(1, sizeof(*made));

	snprintf(made->id, sizeof(made->id), "%s", arguments[1]);
	made->route = fwd_route_new(forwarder, made->id, 1, &limits);
	made->netns_fd = -1;
	LIST_INSERT_HEAD(&routes, made, link);
	if (strcmp(arguments[2], "-") != 0) {
		made->netns_fd = open(arguments[2], O_RDONLY | O_CLOEXEC);
		fwd_route_set_namespace(made->route, made->netns_fd);
	}
	ok();
}

/* The old descriptor stays open until the route is closed, as the contract wants it. */
static void do_namespace(char **arguments)
{
	struct named_route *route = find_route(arguments[1]);

	if (strcmp(arguments[2], "-") == 0) {
		fwd_route_set_namespace(route->route, -1);
	} else {
		route->netns_fd = open(arguments[2], O_RDONLY | O_CLOEXEC);
		fwd_route_set_namespace(route->route, route->netns_fd);
	}
	ok();
}

static void do_up(char **arguments)
{
	fwd_route_set_up(find_route(arguments[1])->route, number(arguments[2]));
	ok();
}

static void do_ready(char **arguments)
{
	fwd_route_set_ready(find_route(arguments[1])->route, number(arguments[2]));
	ok();
}

static void do_pause(char **arguments)
{
	fwd_route_pause(find_route(arguments[1])->route);
	ok();
}

static void do_resume(char **arguments)
{
	fwd_route_resume(find_route(arguments[1])->route, strcmp(arguments[2], "keep") == 0);
	ok();
}

static void do_limits(char **arguments)
{
	struct limits limits = {
		.connections = number(arguments[2]),
		.connect_deadline_ms = number(arguments[3]),
		.idle_ms = number(arguments[4]),
		.half_closed_ms = number(arguments[5]),
		.keepalive_ms = number(arguments[6]),
	};

	fwd_route_set_limits(find_route(arguments[1])->route, &limits);
	ok();
}

static void do_listen(char **arguments)
{
	struct fwd_route *route = strcmp(arguments[2], "-") == 0 ? NULL : find_route(arguments[2])->route;
	struct fwd_listener_options options = { .guest_port = (uint16_t)number(arguments[4]), .fd = -1 };
	struct named_listener *made = calloc(1, sizeof(*made));
	struct addr listen_on;
	struct err err;

	for (int i = 5; arguments[i]; i++) {
		options.proxy_protocol |= strcmp(arguments[i], "proxy") == 0;
		if (strcmp(arguments[i], "udp") == 0)
			options.proto = PROTO_UDP;
	}
	if (addr_parse(arguments[3], &listen_on) < 0) {
		puts("error address");
		free(made);
		return;
	}
	made->listener = fwd_listener_open(forwarder, &listen_on, route, &options, &err);
	if (!made->listener) {
		printf("error %s\n", err.text);
		free(made);
		return;
	}
	snprintf(made->name, sizeof(made->name), "%s", arguments[1]);
	LIST_INSERT_HEAD(&listeners, made, link);
	ok();
}

static void do_unlisten(char **arguments)
{
	struct named_listener *found = find_listener(arguments[1]);

	fwd_listener_close(found->listener, strcmp(arguments[2], "reset") == 0);
	LIST_REMOVE(found, link);
	free(found);
	ok();
}

static void do_default(char **arguments)
{
	fwd_set_default(forwarder, strcmp(arguments[1], "-") == 0 ? NULL : find_route(arguments[1])->route);
	ok();
}

static void do_wait(char **arguments)
{
	config->forwarder.default_wait_ms = number(arguments[1]);
	fwd_reconfigure(forwarder);
	ok();
}

static void on_closed(void *context)
{
	struct named_route *closed = context;

	printf("event closed %s\n", closed->id);
	if (closed->netns_fd >= 0)
		close(closed->netns_fd);
	fwd_probe_stop(closed->probe);
	LIST_REMOVE(closed, link);
	free(closed);
}

static void do_close(char **arguments)
{
	struct named_route *closing = find_route(arguments[1]);

	ok();
	fwd_route_close(closing->route, CLOSE_UNREGISTERED, number(arguments[2]), on_closed, closing);
}

static void on_accepted(void *context)
{
	struct named_route *route = context;

	printf("event accepted %s %u\n", route->id, route->probe_port);
	fwd_probe_stop(route->probe);
	route->probe = NULL;
}

static void do_probe(char **arguments)
{
	struct named_route *route = find_route(arguments[1]);

	route->probe_port = (uint16_t)number(arguments[2]);
	route->probe = fwd_probe_start(route->route, route->probe_port, on_accepted, route);
	ok();
}

static void do_stats(char **arguments)
{
	struct fwd_stats stats;

	(void)arguments;
	fwd_stats(forwarder, &stats);
	printf("ok open=%" PRIu64 " to_guest=%" PRIu64 " from_guest=%" PRIu64 " accept_pauses=%" PRIu64,
	       stats.connections_open, stats.bytes_to_guest, stats.bytes_from_guest, stats.accept_pauses);
	for (int reason = 0; reason < CLOSE_REASONS; reason++)
		printf(" %s=%" PRIu64, fwd_close_reason_name((enum fwd_close_reason)reason), stats.ended[reason]);
	printf(" connect_sum_us=%" PRIu64 " udp_lost=%" PRIu64 " descriptors=%" PRIu64 " descriptor_limit=%" PRIu64
	       "\n",
	       stats.connect_sum_us, stats.udp_lost, stats.descriptors, stats.descriptor_limit);
}

static void do_routestats(char **arguments)
{
	struct fwd_route_stats stats;

	fwd_route_stats(find_route(arguments[1])->route, &stats);
	printf("ok total=%" PRIu64 " open=%" PRIu64 " held=%" PRIu64 " to_guest=%" PRIu64 " from_guest=%" PRIu64
	       " udp_lost=%" PRIu64 " last_activity_ms=%" PRId64 "\n",
	       stats.connections_total, stats.connections_open, stats.connections_held, stats.bytes_to_guest,
	       stats.bytes_from_guest, stats.udp_lost, stats.last_activity_ms);
}

static void on_listed(void *context, const struct fwd_connection_info *info, size_t count)
{
	(void)context;
	printf("ok %zu", count);
	for (size_t i = 0; i < count; i++)
		printf(" %s/%s/%s/%" PRIu64 "/%" PRIu64 "/%" PRId64, info[i].state, info[i].endpoint, info[i].client,
		       info[i].bytes_to_guest, info[i].bytes_from_guest, info[i].connect_ms);
	puts("");
}

static void do_list(char **arguments)
{
	fwd_route_list(find_route(arguments[1])->route, 10, on_listed, NULL);
}

static void on_drained(void *context)
{
	(void)context;
	puts("event drained");
}

static void do_drain(char **arguments)
{
	ok();
	fwd_drain(forwarder, number(arguments[1]), on_drained, NULL);
}

static void do_nofile(char **arguments)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = number(arguments[1]);
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		puts("error setrlimit");
	else
		ok();
	fwd_reconfigure(forwarder);
}

static void do_option(char **arguments)
{
	unsigned *option = strcmp(arguments[1], "sandbox_connections") == 0 ? &config->forwarder.sandbox_connections
			   : strcmp(arguments[1], "udp_flows") == 0         ? &config->forwarder.udp_flows
									    : &config->forwarder.udp_flows_per_client;

	*option = number(arguments[2]);
	fwd_reconfigure(forwarder);
	ok();
}

static const struct command {
	const char *name;
	int arguments; /* at least */
	void (*run)(char **arguments);
} commands[] = {
	{ "route", 2, do_route },     { "namespace", 2, do_namespace },   { "up", 2, do_up },
	{ "ready", 2, do_ready },     { "pause", 1, do_pause },           { "resume", 2, do_resume },
	{ "limits", 6, do_limits },   { "listen", 4, do_listen },         { "unlisten", 2, do_unlisten },
	{ "default", 1, do_default }, { "close", 2, do_close },           { "probe", 2, do_probe },
	{ "stats", 0, do_stats },     { "routestats", 1, do_routestats }, { "list", 1, do_list },
	{ "drain", 1, do_drain },     { "nofile", 1, do_nofile },         { "wait", 1, do_wait },
	{ "option", 2, do_option },
};

static void obey(char *line)
{
	char *arguments[ARGUMENTS_MAX + 1] = { 0 };
	char *rest = line;
	int count = 0;

	while (count < ARGUMENTS_MAX && (arguments[count] = strtok_r(rest, " ", &rest)))
		count++;
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (count > commands[i].arguments && strcmp(arguments[0], commands[i].name) == 0) {
			commands[i].run(arguments);
			return;
		}
	}
	puts("error command");
}

static void on_stdin(evutil_socket_t fd, short what, void *arg)
{
	static char buffer[LINE_MAX_SIZE];
	static size_t used;
	ssize_t size = read(fd, buffer + used, sizeof(buffer) - used);
	char *end;

	(void)what;
	(void)arg;
	if (size <= 0) {
		event_base_loopbreak(base);
		return;
	}
	used += (size_t)size;
	while ((end = memchr(buffer, '\n', used))) {
		size_t length = (size_t)(end - buffer) + 1;

		*end = '\0';
		obey(buffer);
		used -= length;
		memmove(buffer, buffer + length, used);
	}
}

static void forget_all(void)
{
	struct named_listener *listener, *next_listener;
	struct named_route *route, *next_route;

	LIST_FOREACH_SAFE(listener, &listeners, link, next_listener)
	free(listener);
	LIST_FOREACH_SAFE(route, &routes, link, next_route)
	{
		fwd_probe_stop(route->probe);
		if (route->netns_fd >= 0)
			close(route->netns_fd);
		free(route);
	}
}

int main(int argc, char **argv)
{
	struct err err;

	setvbuf(stdout, NULL, _IOLBF, 0);
	log_setup(getenv("QUIET") ? LOG_INFO_LEVEL : LOG_DEBUG_LEVEL, LOG_TEXT_FORMAT, LOG_TO_STDERR);
	config = config_default();
	config->daemon.workers = argc > 1 ? number(argv[1]) : 2;
	config->forwarder.connections = argc > 2 ? number(argv[2]) : 0;
	base = event_base_new();
	if (base_netns_init(&err) < 0 || !(forwarder = fwd_new(base, config, &err))) {
		fprintf(stderr, "%s\n", err.text);
		return EXIT_FAILURE;
	}
	struct event *readable = event_new(base, STDIN_FILENO, EV_READ | EV_PERSIST, on_stdin, NULL);

	event_add(readable, NULL);
	puts("event running");
	event_base_dispatch(base);
	event_free(readable);
	fwd_free(forwarder);
	forget_all();
	event_base_free(base);
	config_free(config);
	return EXIT_SUCCESS;
}
