/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket alone, over the real registry, with a daemon behind it that only pretends: nothing is made in the kernel.
 * The tests of HTTP use it, and so may developers of src/control/.
 *
 *	control_harness SOCKET [--loading | --adopting] [--http ADDR:PORT] [--descriptors N] [--door DOMAIN]
 *
 * A PATCH with the label "state" puts the sandbox into that state, with the label "reason" as its reason. USR1 ends the adoption. USR2 adds 40,000 events. TERM and INT
 * end it; so does the end of its standard input, so that it never outlives its test.
 */
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "config/config.h"
#include "control/control.h"
#include "registry/problem.h"

#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static struct event_base *base;
static struct config *config;
static struct registry *registry;
static struct control *control;
static bool loading, adopting;
static const char *door_domain;            /* "": it has none; NULL: there is no door */
static char diagnosed[SANDBOX_ID_MAX + 1]; /* the sandbox that was diagnosed last */
static int64_t diagnosed_ms;

static void on_state_changed(void *context, struct sandbox *sandbox, enum sandbox_state from, const char *cause,
			     uint64_t previous_ms)
{
	(void)context;
	if (control)
		control_state_changed(control, sandbox, from, cause, previous_ms);
}

/* Its endpoints are open, as far as anybody can tell. */
static void pretend_open(struct sandbox *sandbox)
{
	static int handle;

	for (size_t i = 0; i < sandbox->endpoint_count; i++)
		for (size_t j = 0; j < sandbox->endpoints[i].listen_count; j++)
			sandbox->endpoints[i].handles[j] = (void *)&handle;
}

static void register_sandbox(void *context, struct control_request *request)
{
	struct sandbox *sandbox = registry_find(registry, request->target.id);
	struct problem problem;

	(void)context;
	if (sandbox) {
		registry_problem_set(&problem, PROBLEM_CONFLICT, NULL, "it is registered otherwise");
		if (registry_spec_equal(sandbox->spec, request->spec))
			control_request_answer(request, 200, wire_write_sandbox(sandbox, config));
		else
			control_request_refuse(request, &problem);
		return;
	}
	sandbox = registry_add(registry, request->target.id, request->spec, &problem);
	if (!sandbox) {
		control_request_refuse(request, &problem);
		return;
	}
	request->spec = NULL;
	sandbox->registered_ms += 3600 * INT64_C(1000); /* its idle_ms is 0, however slow the test is */
	pretend_open(sandbox);
	control_event(control, "registered", sandbox->id, json_object());
	registry_sandbox_set_state(registry, sandbox, SANDBOX_WAITING, "made", NULL);
	control_request_answer(request, 201, wire_write_sandbox(sandbox, config));
}

static void unregister_sandbox(void *context, struct control_request *request)
{
	struct sandbox *sandbox = control_request_sandbox(request, registry);
	char id[SANDBOX_ID_MAX + 1];

	(void)context;
	if (!sandbox)
		return;
	if (request->target.has_drain) {
		registry_sandbox_set_state(registry, sandbox, SANDBOX_DRAINING, "request", NULL);
		control_request_answer(request, 202, wire_write_sandbox(sandbox, config));
		return;
	}
	strcpy(id, sandbox->id);
	registry_remove(registry, sandbox);
	control_event(control, "unregistered", id, json_object());
	control_sandbox_gone(control, id);
	control_request_answer_empty(request, 204);
}

static void obey_label(struct sandbox *sandbox)
{
	enum sandbox_state state;
	const char *reason = NULL;

	for (size_t i = 0; i < sandbox->spec->label_count; i++)
		if (!strcmp(sandbox->spec->labels[i].key, "reason"))
			reason = sandbox->spec->labels[i].value;
	for (size_t i = 0; i < sandbox->spec->label_count; i++)
		if (!strcmp(sandbox->spec->labels[i].key, "state") &&
		    !registry_sandbox_state_parse(sandbox->spec->labels[i].value, &state) && state != sandbox->state)
			registry_sandbox_set_state(registry, sandbox, state, "label", reason);
}

static void patch_sandbox(void *context, struct control_request *request)
{
	struct sandbox *sandbox = control_request_sandbox(request, registry);
	struct registry_patch prepared;
	struct problem problem;

	(void)context;
	if (!sandbox)
		return;
	struct spec *spec = registry_spec_patch_apply(sandbox, &request->patch, &problem);
	if (!spec || registry_patch_prepare(registry, sandbox, spec, false, &prepared, &problem) < 0) {
		registry_spec_free(spec);
		control_request_refuse(request, &problem);
		return;
	}
	registry_patch_commit(registry, &prepared);
	pretend_open(sandbox);
	obey_label(sandbox);
	control_request_answer(request, 200, wire_write_sandbox(sandbox, config));
}

static void wake(void *context, struct control_request *request)
{
	struct sandbox *sandbox = control_request_sandbox(request, registry);
	struct problem problem;

	(void)context;
	if (!sandbox)
		return;
	if (registry_wake_check(sandbox, &problem) < 0) {
		control_request_refuse(request, &problem);
		return;
	}
	registry_wake_note(sandbox, clock_wall_ms(), "api", "api");
	control_event(control, "wake", sandbox->id, json_pack("{s:s, s:i}", "via", "api", "attempt", 1));
	control_request_answer(request, 202, wire_write_sandbox(sandbox, config));
}

static void connections(void *context, struct control_request *request)
{
	(void)context;
	if (!control_request_sandbox(request, registry))
		return;
	control_request_answer(request, 200, json_pack("{s:[]}", "connections"));
}

static void last_diagnosis(void *context, struct control_request *request)
{
	char measured_at[CLOCK_TEXT_SIZE];

	(void)context;
	if (!control_request_sandbox(request, registry))
		return;
	if (strcmp(diagnosed, request->target.id) != 0) {
		control_request_answer(
		    request, 200,
		    json_pack("{s:[], s:n, s:n, s:n, s:n}", "hops", "broken", "cause", "next_step", "measured_at"));
		return;
	}
	control_request_answer(
	    request, 200,
	    json_pack("{s:[{s:s,s:s,s:s,s:s},{s:s,s:s,s:s,s:s},{s:s,s:s,s:s,s:s}],s:s,s:s,s:s,s:s}", "hops", "hop",
		      "veth", "status", "ok", "subject", "veth-1", "detail", "up", "hop", "tap", "status", "fail",
		      "subject", "ns-1/tap0", "detail", "NO-CARRIER", "hop", "kernel", "status", "skipped", "subject",
		      "10.11.0.1", "detail", "not tried", "broken", "tap", "cause", "no VM is attached", "next_step",
		      "open tap0 inside ns-1", "measured_at", clock_format(diagnosed_ms, measured_at)));
}

static void diagnose(void *context, struct control_request *request)
{
	snprintf(diagnosed, sizeof(diagnosed), "%s", request->target.id);
	diagnosed_ms = clock_wall_ms();
	last_diagnosis(context, request);
}

static void reach(void *context, struct control_request *request)
{
	(void)context;
	if (!control_request_sandbox(request, registry))
		return;
	control_request_answer(request, 200,
			       json_pack("{s:b,s:s,s:s}", "allowed", 1, "rule", "internet", "set", "internet"));
}

static json_t *uses(void)
{
	return json_pack("{s:n,s:s,s:[{s:s,s:s,s:s,s:i,s:s,s:s}],s:{s:{s:s}}}", "config", "state_dir",
			 "/run/weft/state", "layouts", "netns_dir", "/run/netns", "netns_prefix", "ns-", "veth_prefix",
			 "veth-", "link_group", 1874, "host_cidr", "10.11.0.0/16", "veth_cidr", "10.12.0.0/16",
			 "options", "door", "domain", door_domain ? door_domain : "");
}

static json_t *loopback(void)
{
	return json_pack("{s:s,s:b,s:n,s:b,s:i,s:i,s:n,s:s,s:n}", "mode", "auto", "open", false, "cgroup", "ipv6",
			 false, "entries", 0, "wanted", 0, "error", "default_path", "forwarder", "default_path_reason");
}

static json_t *door(void)
{
	if (!door_domain)
		return json_null();
	return json_pack("{s:s,s:i,s:i,s:i,s:{s:i},s:i}", "socket", "/run/weft/door.sock", "connections", 0, "held", 0,
			 "served", 0, "refused", "not-found", 0, "broken", 0);
}

static void status(void *context, struct control_request *request)
{
	json_t *sandboxes = json_object();

	(void)context;
	for (int state = 0; state < SANDBOX_STATES; state++)
		json_object_set_new(
		    sandboxes, registry_sandbox_state_name((enum sandbox_state)state),
		    json_integer((json_int_t)registry_count_state(registry, (enum sandbox_state)state)));
	control_request_answer(request, 200,
			       json_pack("{s:s,s:s,s:s,s:s,s:{s:i,s:i,s:i,s:i},s:o,s:i,s:I,s:[],s:o,s:n,s:o,s:n,s:o}",
					 "version", "harness", "api", CONTROL_API_VERSION, "host", "somehost", "state",
					 adopting ? "adopting" : "running", "pool", "ready", 0, "target", 0,
					 "quarantined", 0, "deleting", 0, "sandboxes", sandboxes, "connections", 0,
					 "event_readers", (json_int_t)control_event_readers(control), "not_open",
					 "uses", uses(), "handover", "door", door(), "catalog", "loopback",
					 loopback()));
}

static void metrics(void *context, struct control_request *request)
{
	static const char text[] = "weft_build_info{version=\"harness\"} 1\n";

	(void)context;
	control_reply_text(control_request_release(request), "text/plain; version=0.0.4; charset=utf-8", text,
			   sizeof(text) - 1);
}

/* A sandbox with the label "rate" has that many bytes a second to it, and half of it from it, in all points. */
static void rates(void *context, struct control_request *request)
{
	json_t *sandboxes = json_array();

	(void)context;
	for (struct sandbox *sandbox = registry_next(registry, 0); sandbox;
	     sandbox = registry_next(registry, sandbox->slot)) {
		json_t *to = json_array(), *from = json_array();
		for (size_t i = 0; i < sandbox->spec->label_count; i++) {
			if (strcmp(sandbox->spec->labels[i].key, "rate") != 0)
				continue;
			int rate = atoi(sandbox->spec->labels[i].value);
			for (int j = 0; j < 60; j++) {
				json_array_append_new(to, json_integer(rate * (j % 10) / 5));
				json_array_append_new(from, json_integer(rate / 2));
			}
			json_array_append_new(sandboxes,
					      json_pack("{s:s,s:i,s:i,s:i,s:O,s:O}", "id", sandbox->id, "slot",
							sandbox->slot, "connections_open", 3, "connections_held", 1,
							"to_guest", to, "from_guest", from));
		}
		json_decref(to);
		json_decref(from);
	}
	control_request_answer(request, 200,
			       json_pack("{s:i,s:i,s:I,s:s,s:o}", "interval_ms", 2000, "points", 60, "tick",
					 (json_int_t)(clock_wall_ms() / 2000), "at", "2026-01-14T09:37:00Z",
					 "sandboxes", sandboxes));
}

static bool examined;

static void last_findings(void *context, struct control_request *request)
{
	(void)context;
	if (!examined)
		control_request_answer(request, 200, json_pack("{s:[], s:n}", "findings", "measured_at"));
	else
		control_request_answer(
		    request, 200,
		    json_pack("{s:[{s:s,s:s,s:s,s:s,s:s},{s:s,s:s,s:s,s:s,s:s}],s:s}", "findings", "check", "kernel",
			      "status", "ok", "detail", "all there", "why", "", "fix", "", "check", "ip_forward",
			      "status", "fail", "detail", "ip_forward is 0", "why", "no packet is forwarded", "fix",
			      "sysctl net.ipv4.ip_forward=1", "measured_at", "2026-01-14T09:37:00Z"));
}

static void examine(void *context, struct control_request *request)
{
	examined = true;
	last_findings(context, request);
}

static bool is_adopting(void *context)
{
	(void)context;
	return adopting;
}

static bool is_loading(void *context)
{
	(void)context;
	return loading;
}

/* The registry gets the one sandbox that the former run left, "left". */
static void end_loading(void)
{
	struct problem problem;
	struct sandbox *sandbox =
	    registry_adopt(registry, "left", 7, NULL, registry_spec_new(config), NULL, 0, &problem);

	loading = false;
	registry_sandbox_set_state(registry, sandbox, SANDBOX_WAITING, "restart", NULL);
	control_loaded(control);
}

static void on_signal(evutil_socket_t number, short what, void *context)
{
	(void)what;
	(void)context;
	if (number == SIGUSR1 && loading) {
		end_loading();
	} else if (number == SIGUSR1) {
		adopting = false;
		control_adopted(control);
	} else if (number == SIGUSR2) {
		for (int i = 0; i < 40000; i++)
			control_event(control, "repair", NULL, json_pack("{s:i}", "number", i));
	} else {
		event_base_loopbreak(base);
	}
}

static void on_input(evutil_socket_t fd, short what, void *context)
{
	char ignored[256];

	(void)what;
	(void)context;
	if (read(fd, ignored, sizeof(ignored)) <= 0)
		event_base_loopbreak(base);
}

/* In one of the tests a thousand clients wait; weftd raises its limit as well. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* Uses up the descriptors, as a daemon under load would, but for LEFT of them. */
static void use_up_descriptors(unsigned left)
{
	struct rlimit limit = { .rlim_cur = 128, .rlim_max = 128 };
	int held[128];
	unsigned count = 0;

	setrlimit(RLIMIT_NOFILE, &limit);
	while (count < 128 && (held[count] = dup(STDERR_FILENO)) >= 0)
		count++;
	while (left-- && count)
		close(held[--count]);
}

/* Returns how many descriptors are to be left; -1: all that there are. */
static int read_options(int argc, char **argv)
{
	int descriptors = -1;

	for (int i = 2; i < argc; i++) {
		if (!strcmp(argv[i], "--adopting"))
			adopting = true;
		else if (!strcmp(argv[i], "--loading"))
			loading = adopting = true;
		else if (!strcmp(argv[i], "--descriptors") && i + 1 < argc)
			descriptors = atoi(argv[++i]);
		else if (!strcmp(argv[i], "--door") && i + 1 < argc)
			door_domain = argv[++i];
		else if (!strcmp(argv[i], "--http") && i + 1 < argc) {
			config->http.listen.items = calloc(1, sizeof(struct addr));
			config->http.listen.count = !addr_parse(argv[++i], config->http.listen.items);
		}
	}
	return descriptors;
}

int main(int argc, char **argv)
{
	static const struct control_ops ops = {
		.register_sandbox = register_sandbox,
		.unregister_sandbox = unregister_sandbox,
		.patch_sandbox = patch_sandbox,
		.wake = wake,
		.connections = connections,
		.diagnose = diagnose,
		.last_diagnosis = last_diagnosis,
		.reach = reach,
		.status = status,
		.metrics = metrics,
		.rates = rates,
		.examine = examine,
		.last_findings = last_findings,
		.adopting = is_adopting,
		.loading = is_loading,
	};
	static const int signals[] = { SIGTERM, SIGINT, SIGUSR1, SIGUSR2 };
	struct event *events[sizeof(signals) / sizeof(signals[0]) + 1];
	struct control_http *http = NULL;
	struct err err;

	if (argc < 2)
		return 64;
	signal(SIGPIPE, SIG_IGN);
	base = event_base_new();
	config = config_default();
	int descriptors = read_options(argc, argv);
	registry = registry_new(config);
	registry_watch(registry, &(struct registry_watcher){ on_state_changed, NULL });
	control = control_new(base, argv[1], config, registry, &ops, &err);
	if (control && config->http.listen.count)
		http = control_http_new(control, base, config, &err);
	bool opened = http || !config->http.listen.count;
	for (size_t i = 0; opened && i < config->http.listen.count; i++)
		opened = control_http_open(http, i, &err) == 0;
	if (!control || !opened) {
		fprintf(stderr, "%s\n", err.text);
		return 69;
	}
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		events[i] = evsignal_new(base, signals[i], on_signal, NULL);
		event_add(events[i], NULL);
	}
	events[4] = event_new(base, STDIN_FILENO, EV_READ | EV_PERSIST, on_input, NULL);
	event_add(events[4], NULL);
	raise_descriptor_limit();
	if (descriptors >= 0)
		use_up_descriptors((unsigned)descriptors);
	event_base_dispatch(base);

	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		event_free(events[i]);
	control_http_free(http);
	control_free(control);
	registry_free(registry);
	config_free(config);
	event_base_free(base);
	return 0;
}
