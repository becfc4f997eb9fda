/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Start and stop. The control socket answers first, and the rest of the start is done in iterations of the loop that serves it
 * (restart.c). The stop goes the other way round and leaves kernel state as it is. The forwarder's own connections are handed over to
 * the next run, or end after a drain.
 */
#include "daemon/run.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/descriptors.h"
#include "base/err.h"
#include "base/log.h"
#include "base/log_limit.h"
#include "base/loop.h"
#include "config/config.h"
#include "control/control.h"
#include "daemon/asleep.h"
#include "daemon/collect.h"
#include "daemon/daemon.h"
#include "daemon/default_endpoint.h"
#include "daemon/diagnoses.h"
#include "daemon/door.h"
#include "daemon/examine.h"
#include "daemon/follow.h"
#include "daemon/guard.h"
#include "daemon/handed_over.h"
#include "daemon/handing_over.h"
#include "daemon/host_lock.h"
#include "daemon/host_services.h"
#include "daemon/http_endpoint.h"
#include "daemon/idle.h"
#include "daemon/inherited.h"
#include "daemon/last_state.h"
#include "daemon/listeners.h"
#include "daemon/load_config.h"
#include "daemon/loopback.h"
#include "daemon/marks.h"
#include "daemon/metrics.h"
#include "daemon/not_open.h"
#include "daemon/notify.h"
#include "daemon/options.h"
#include "daemon/parts.h"
#include "daemon/patch.h"
#include "daemon/pausing.h"
#include "daemon/publish.h"
#include "daemon/rate_samples.h"
#include "daemon/register.h"
#include "daemon/reload.h"
#include "daemon/reopen.h"
#include "daemon/report.h"
#include "daemon/reserve.h"
#include "daemon/restart.h"
#include "daemon/rooms.h"
#include "daemon/takeover.h"
#include "daemon/tenant.h"
#include "daemon/unregister.h"
#include "daemon/watchdog.h"
#include "fabric/fabric.h"
#include "forwarder/forwarder.h"
#include "registry/registry.h"
#include "store/store.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

enum {
	HOUSEKEEPING_MS = 10000,
	AFTER_DRAIN_MS = 60000, /* for the rest of a stop, on a host that is busy */
};

static const int watched_signals[] = { SIGTERM, SIGINT, SIGHUP };

enum { WATCHED_SIGNALS = sizeof(watched_signals) / sizeof(watched_signals[0]) };

struct running {
	struct daemon daemon;
	int host_lock;             /* holds our link group; -1: not yet */
	bool ipv6_loopback;        /* the host has ::1, as last seen */
	struct timer housekeeping; /* counters, now and then */
	struct event *signals[WATCHED_SIGNALS];
};

static bool daemon_run_is_adopting(void *context)
{
	struct daemon *daemon = context;

	return !daemon_is_loaded(daemon) || daemon->state == DAEMON_ADOPTING;
}

static bool daemon_run_is_loading(void *context)
{
	return !daemon_is_loaded(context);
}

static void daemon_run_each_tenant(struct daemon *daemon, void (*act)(struct daemon *daemon, struct sandbox *sandbox))
{
	for (struct sandbox *sandbox = registry_next(daemon->registry, 0); sandbox;
	     sandbox = registry_next(daemon->registry, sandbox->slot))
		if (sandbox->tenant)
			act(daemon, sandbox);
}

/* A probe for which there was no memory. */
static void daemon_run_probe_again(struct daemon *daemon, struct sandbox *sandbox)
{
	(void)daemon;
	daemon_tenant_follow_readiness(daemon_tenant_of(sandbox));
}

/* Automatic ports are opened on ::1 as well, where the host has it. */
static bool daemon_run_has_ipv6_loopback(void)
{
	struct addr addr = addr_loopback6(0);
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool has = fd >= 0 && bind(fd, &addr.any, addr_length(&addr)) == 0;

	if (fd >= 0)
		close(fd);
	return has;
}

/* It may come and go with IPv6. Endpoints that are there already keep their addresses. */
static void daemon_run_follow_ipv6_loopback(struct running *running)
{
	bool has = daemon_run_has_ipv6_loopback();

	if (has == running->ipv6_loopback)
		return;
	running->ipv6_loopback = has;
	registry_set_ipv6_loopback(running->daemon.registry, has);
	if (has)
		log_info("this host has ::1 now: new endpoints listen on it too");
	else
		log_warning("this host has no ::1: new endpoints listen on 127.0.0.1 alone");
}

static void daemon_run_housekeep(void *context)
{
	struct running *running = context;
	struct daemon *daemon = &running->daemon;

	log_limit_tell(clock_now_ms());
	daemon_lock_drain(running->host_lock);
	if (daemon->state == DAEMON_RUNNING) {
		daemon_collect_all(daemon);
		daemon_run_follow_ipv6_loopback(running);
		daemon_run_each_tenant(daemon, daemon_run_probe_again);
		daemon_run_each_tenant(daemon, daemon_pausing_try_again);
	}
	timer_start(&running->housekeeping, HOUSEKEEPING_MS);
}

static void daemon_run_on_drained(void *context)
{
	struct daemon *daemon = context;

	event_base_loopbreak(daemon->base);
}

static void daemon_run_drain(struct daemon *daemon)
{
	if (!daemon->forwarder) {
		daemon_run_on_drained(daemon);
		return;
	}
	daemon_notify_takes(daemon->config->forwarder.stop_drain_ms + AFTER_DRAIN_MS);
	fwd_drain(daemon->forwarder, daemon->config->forwarder.stop_drain_ms, daemon_run_on_drained, daemon);
}

static void daemon_run_on_handed_over(struct daemon *daemon, bool ok)
{
	if (ok)
		daemon_run_on_drained(daemon);
	else
		daemon_run_drain(daemon);
}

/* What takes time, and can be done while connections still flow. */
static void daemon_run_prepare_handover(struct daemon *daemon)
{
	daemon_last_state_write_early(daemon);
	daemon_guard_stop(daemon);
	if (daemon->fabric)
		fabric_forget_names(daemon->fabric);
}

static void daemon_run_stop(struct daemon *daemon, int signal)
{
	if (daemon->state == DAEMON_STOPPING) {
		if (!daemon_handing_over_hurry(daemon))
			event_base_loopbreak(daemon->base);
		return;
	}
	log_info("stopping", F_STR("signal", signal == SIGTERM ? "TERM" : "INT"));
	daemon_notify_stopping();
	daemon_become(daemon, DAEMON_STOPPING);
	daemon_loopback_close(daemon);
	if (daemon_handing_over_is_possible(daemon))
		daemon_run_prepare_handover(daemon);
	if (!daemon_handing_over_begin(daemon, daemon_run_on_handed_over))
		daemon_run_drain(daemon);
}

static void daemon_run_on_signal(evutil_socket_t signal, short what, void *arg)
{
	struct daemon *daemon = arg;

	(void)what;
	if (signal == SIGHUP)
		daemon_reload(daemon);
	else
		daemon_run_stop(daemon, (int)signal);
}

static int daemon_run_watch_signals(struct running *running, struct err *err)
{
	for (size_t i = 0; i < WATCHED_SIGNALS; i++) {
		running->signals[i] =
		    evsignal_new(running->daemon.base, watched_signals[i], daemon_run_on_signal, &running->daemon);
		if (!running->signals[i] || event_add(running->signals[i], NULL) < 0)
			return err_set(err, ENOMEM, "signal handlers");
	}
	/* A write to a peer that is gone fails with EPIPE instead. */
	signal(SIGPIPE, SIG_IGN);
	return 0;
}

/* A further signal must not end us before all is written down. The remaining threads take none. */
static void daemon_run_forget_signals(struct running *running)
{
	sigset_t watched;

	sigemptyset(&watched);
	for (size_t i = 0; i < WATCHED_SIGNALS; i++)
		sigaddset(&watched, watched_signals[i]);
	pthread_sigmask(SIG_BLOCK, &watched, NULL);
	for (size_t i = 0; i < WATCHED_SIGNALS; i++)
		if (running->signals[i])
			event_free(running->signals[i]);
}

/* Each connection takes two descriptors: as many as the kernel lets one process have. */
static void daemon_run_raise_descriptor_limit(void)
{
	struct rlimit limit;
	FILE *file = fopen("/proc/sys/fs/nr_open", "re");
	unsigned long most = 0;

	if (file) {
		if (fscanf(file, "%lu", &most) != 1)
			most = 0;
		fclose(file);
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	if (most > limit.rlim_max) {
		struct rlimit raised = { .rlim_cur = most, .rlim_max = most };

		if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
			return;
	}
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_warning("descriptor limit not raised", F_UINT("limit", limit.rlim_cur),
			    F_STR("fix", "LimitNOFILE= of the unit"));
}

/*
 * The kernel's table of our descriptors doubles when it is full, and in a process with threads each time waits for all processors
 * (expand_files(), 10 ms and more): so it is made large while there are no threads.
 */
static void daemon_run_enlarge_descriptor_table(void)
{
	enum { ROOM = 65536 };
	size_t limit = base_descriptors_limit();
	int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, limit < ROOM ? (int)limit - 1 : ROOM - 1);

	if (fd >= 0)
		close(fd);
}

/* ---- The control socket and [http] listen, which outlive this run as endpoints do ---- */

static int daemon_run_take_path(void *context, const char *path)
{
	struct daemon *daemon = context;

	return daemon_inherited_take_unix(daemon->inherited, path);
}

static int daemon_run_take_addr(void *context, const struct addr *addr)
{
	struct daemon *daemon = context;

	return daemon_inherited_take(daemon->inherited, addr, PROTO_TCP);
}

static void daemon_run_on_opened(void *context, int fd)
{
	daemon_listeners_add(context, fd);
}

static void daemon_run_on_closing(void *context, int fd)
{
	daemon_listeners_remove(context, fd);
	shutdown(fd, SHUT_RDWR);
}

static bool daemon_run_keeps(void *context, int fd)
{
	return daemon_listeners_keeps(context, fd);
}

static int daemon_run_start_control(struct daemon *daemon, struct err *err)
{
	const struct control_keeper keeper = {
		.take_unix = daemon_run_take_path,
		.take = daemon_run_take_addr,
		.opened = daemon_run_on_opened,
		.closing = daemon_run_on_closing,
		.keeps = daemon_run_keeps,
		.context = daemon,
	};
	const struct control_ops ops = {
		.register_sandbox = daemon_register,
		.unregister_sandbox = daemon_unregister,
		.patch_sandbox = daemon_patch,
		.wake = daemon_asleep_ask,
		.connections = daemon_connections,
		.diagnose = daemon_diagnose,
		.last_diagnosis = daemon_last_diagnosis,
		.reach = daemon_reach,
		.refresh = daemon_refresh,
		.status = daemon_status,
		.metrics = daemon_metrics,
		.rates = daemon_rates,
		.examine = daemon_examine,
		.last_findings = daemon_examine_last,
		.adopting = daemon_run_is_adopting,
		.loading = daemon_run_is_loading,
		.context = daemon,
		.keeper = &keeper,
	};
	const struct registry_watcher watcher = { .state_changed = daemon_follow_state_changed, .context = daemon };

	daemon->control =
	    control_new(daemon->base, daemon->options->socket, daemon->config, daemon->registry, &ops, err);
	if (!daemon->control)
		return -1;
	registry_watch(daemon->registry, &watcher);
	return daemon_http_open(daemon, err);
}

static int daemon_run_find_marks(struct daemon *daemon, struct err *err)
{
	if (daemon_marks_find(daemon->config, daemon->store, err) == 0)
		return 0;
	daemon->exit_code = err->code ? EX_UNAVAILABLE : EX_CONFIG;
	return -1;
}

static int daemon_run_start(struct running *running, struct err *err)
{
	struct daemon *daemon = &running->daemon;

	if (daemon_parts_start(daemon, err) < 0)
		return -1;
	daemon_run_follow_ipv6_loopback(running);
	/*
	 * The locks come before the socket: of two daemons, the second must not take the first one's. That of the host comes
	 * first, because it has no file that others can delete: who does not get it must not even hold the other for a moment.
	 */
	running->host_lock = daemon_lock_host(daemon->config->layout.link_group, err);
	if (running->host_lock < 0 && err->code != EADDRINUSE)
		return -1;
	if (running->host_lock < 0)
		log_error("the lock of the host is taken; weftd goes on without it", F_STR("error", err->text),
			  F_STR("fix", "end that process, and restart weftd"));
	daemon->store = store_open(daemon->options->state_dir, daemon->config, err);
	if (!daemon->store || daemon_run_find_marks(daemon, err) < 0 || daemon_listeners_start(daemon, err) < 0)
		return -1;
	daemon->inherited = daemon_inherited_receive();
	if (daemon_diagnoses_start(daemon, err) < 0 || daemon_examine_start(daemon, err) < 0 ||
	    daemon_run_start_control(daemon, err) < 0)
		return -1;
	if (daemon_run_watch_signals(running, err) < 0)
		return -1;
	daemon_listeners_keep(daemon);
	if (timer_init(&running->housekeeping, daemon->base, daemon_run_housekeep, running, err) < 0)
		return -1;
	timer_start(&running->housekeeping, HOUSEKEEPING_MS);
	if (daemon_guard_start(daemon, err) < 0 || daemon_reopen_start(daemon, err) < 0 ||
	    daemon_watchdog_start(daemon, err) < 0)
		return -1;
	return daemon_restart_begin(daemon, err);
}

static void daemon_run_let_go(struct tenant *tenant)
{
	struct problem problem;

	if (tenant->probe)
		fwd_probe_stop(tenant->probe);
	tenant->probe = NULL;
	registry_problem_stopping(&problem, "weftd is stopping; it finishes this at its next start");
	daemon_tenant_refuse_leaving(tenant, &problem);
}

static void daemon_run_save_and_let_go(struct daemon *daemon, struct sandbox *sandbox)
{
	daemon_last_state_write(daemon, sandbox);
	daemon_run_let_go(daemon_tenant_of(sandbox));
}

static void daemon_run_free_tenant(struct daemon *daemon, struct sandbox *sandbox)
{
	(void)daemon;
	daemon_tenant_free(daemon_tenant_of(sandbox));
}

/*
 * Jobs of the fabric end with fabric_free(), whose completions still find everything in place. Listeners and routes go with the
 * forwarder, which may use the namespaces' descriptors until then.
 */
static void daemon_run_finish(struct running *running)
{
	struct daemon *daemon = &running->daemon;

	daemon_loopback_close(daemon);
	daemon_diagnoses_stop(daemon);
	daemon_examine_stop(daemon);
	control_park_refuse_all(&daemon->parked, "weftd is stopping");
	daemon_run_forget_signals(running);
	timer_free(&running->housekeeping);
	daemon_guard_stop(daemon);
	daemon_reopen_stop(daemon);
	daemon_watchdog_stop(daemon);
	/* Who waits for the listeners may have a job for the fabric. */
	daemon_listeners_finish(daemon);
	fabric_free(daemon->fabric);
	daemon_restart_free(daemon);
	daemon->fabric = NULL; /* the forwarder's last reports come too late for it */
	if (daemon->registry)
		daemon_run_each_tenant(daemon, daemon_run_save_and_let_go);
	daemon_listeners_finish(daemon);
	daemon_handing_over_free(daemon);
	daemon_door_stop(daemon);
	fwd_free(daemon->forwarder);
	daemon_asleep_stop(daemon);
	if (daemon->registry)
		daemon_run_each_tenant(daemon, daemon_run_free_tenant);
	daemon_publish_stop(daemon);
	daemon_default_free(daemon);
	daemon_services_free(daemon);
	daemon_takeover_stop(daemon);
	daemon_reserve_stop(daemon);
	control_stop(daemon->control);
	daemon_http_close(daemon);
	control_free(daemon->control);
	daemon_handed_over_stop(daemon);
	daemon_metrics_stop(daemon);
	daemon_rates_stop(daemon);
	daemon_loopback_stop(daemon);
	daemon_idle_stop(daemon);
	daemon_not_open_stop(daemon);
	daemon_listeners_free(daemon);
	daemon_inherited_free(daemon->inherited);
	registry_free(daemon->registry);
	store_close(daemon->store);
	cleanup_fd(&running->host_lock);
	if (daemon->base)
		event_base_free(daemon->base);
}

/* From here on nobody waits for the log's reader. Before it there are no threads. */
static int daemon_run_start_log(const struct daemon *daemon, struct err *err)
{
	int result;

	log_setup(daemon->config->daemon.log_level, daemon->config->daemon.log_format,
		  daemon->options->foreground ? LOG_TO_STDERR : LOG_TO_JOURNAL);
	daemon_run_raise_descriptor_limit();
	daemon_run_enlarge_descriptor_table();
	daemon_notify_open();
	result = log_start(err);
	log_info("weftd starts", F_STR("version", PACKAGE_VERSION), F_STR("socket", daemon->options->socket));
	return result;
}

int daemon_run(const struct options *options)
{
	struct running running = { .daemon.options = options, .host_lock = -1, .ipv6_loopback = true };
	struct daemon *daemon = &running.daemon;
	struct err err;
	int exit_code;

	daemon->config =
	    daemon_load_config(options, true, CONFIG_PATIENCE_MS, daemon_load_config_print_mistake, NULL, &exit_code);
	if (!daemon->config)
		return exit_code;
	if (daemon_run_start_log(daemon, &err) < 0 || daemon_run_start(&running, &err) < 0)
		daemon_rooms_give_up(daemon, &err);
	else
		event_base_dispatch(daemon->base);
	exit_code = daemon->exit_code;
	daemon_run_finish(&running);
	log_limit_tell_all();
	log_info("weftd ends");
	log_stop();
	daemon_notify_close();
	config_free(daemon->config);
	return exit_code;
}
