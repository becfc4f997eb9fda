/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * main() of weftd, and its modes beside running: check, clean up, explain itself.
 */
#include "daemon/modes.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/netns.h"
#include "base/socket_file.h"
#include "base/standard_fds.h"
#include "config/layouts.h"
#include "daemon/door.h"
#include "daemon/host_lock.h"
#include "daemon/load_config.h"
#include "daemon/marks.h"
#include "daemon/options.h"
#include "daemon/run.h"
#include "daemon/successor.h"
#include "daemon/weftd_main.h"
#include "fabric/fabric.h"
#include "health/doctor.h"
#include "kernel/bpf.h"
#include "store/store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

static void daemon_mode_print_finding(const struct health_finding *finding)
{
	printf("%s: %s: %s\n", health_status_name(finding->status), finding->check, finding->detail);
	if (finding->why[0])
		printf("  why: %s\n", finding->why);
	if (finding->fix[0])
		printf("  fix: %s\n", finding->fix);
}

/* The bad findings of `weftctl doctor`; before a restart, only those that would end the start. Returns the exit code. */
static int daemon_mode_print_report(const struct options *options, const struct health_report *report)
{
	bool ends_start = false;

	for (size_t i = 0; i < report->count; i++) {
		const struct health_finding *finding = &report->findings[i];
		bool bad = finding->status == HEALTH_WARN || finding->status == HEALTH_FAIL;

		ends_start |= finding->ends_start;
		if (options->before_restart ? finding->ends_start : bad)
			daemon_mode_print_finding(finding);
	}
	if (options->before_restart ? ends_start : health_report_worst(report) == HEALTH_FAIL)
		return EX_UNAVAILABLE;
	return EX_OK;
}

static int daemon_mode_check_host(const struct options *options, const struct config *config)
{
	struct health_facts facts;
	struct health_report report = { 0 };

	health_facts_begin(&facts, options->socket);
	health_facts_gather(&facts, config, options->state_dir, 0);
	if (options->before_restart)
		daemon_successor_examine(&facts, config, &report);
	health_doctor_examine(&facts, &report);
	int exit_code = daemon_mode_print_report(options, &report);
	health_report_clear(&report);
	health_facts_clear(&facts);
	return exit_code;
}

/* Says which sandboxes would keep a former configuration's names and addresses. */
static int daemon_mode_check_layouts(const struct options *options, const struct config *config)
{
	char theirs[256] = "";
	struct err err;
	struct store *store = store_open_read(options->state_dir, config, &err);
	int count;

	/* Without a state directory, or the right to read it, there is nothing to say. */
	if (!store)
		return EX_OK;
	count = daemon_marks_find(config, store, &err);
	if (count == 0)
		count = daemon_marks_count(config, store, theirs, sizeof(theirs), &err);
	if (count < 0)
		fprintf(stderr, "weftd: %s\n", err.text);
	if (count > 0)
		printf("note: %d sandboxes keep the names and addresses that they were made with (%s); the "
		       "configuration's are "
		       "for new ones\n",
		       count, theirs);
	store_close(store);
	return count >= 0 ? EX_OK : err.code ? EX_OSERR : EX_CONFIG;
}

int daemon_mode_check(const struct options *options)
{
	int exit_code;
	struct config *config =
	    daemon_load_config(options, true, CONFIG_PATIENCE_MS, daemon_load_config_print_mistake, NULL, &exit_code);

	if (!config)
		return exit_code;
	printf("configuration ok\n");
	if (daemon_door_lacks_group(config) && !options->before_restart)
		printf("note: there is no group %s, so that root alone may connect to the door, %s\n",
		       config->door.group, config->door.socket);
	exit_code = daemon_mode_check_layouts(options, config);
	if (exit_code != EX_OK) {
		config_free(config);
		return exit_code;
	}
	exit_code = daemon_mode_check_host(options, config);
	if (exit_code == EX_OK)
		printf(options->before_restart ? "host ok, as far as a start needs it\n" : "host ok\n");
	config_free(config);
	return exit_code;
}

static void daemon_mode_print_removed(void *context, const char *what)
{
	unsigned *count = context;

	(*count)++;
	printf("removed %s\n", what);
}

static int daemon_mode_remove_state_files(struct store *store, unsigned *count, struct err *err)
{
	struct store_contents contents;

	if (store_load(store, &contents, err) < 0)
		return -1;
	for (size_t i = 0; i < contents.count; i++) {
		if (store_remove(store, contents.items[i].slot, err) < 0) {
			store_contents_clear(&contents);
			return -1;
		}
		(*count)++;
		printf("removed state of sandbox %s\n", contents.items[i].id);
	}
	for (size_t i = 0; i < contents.damage_count; i++)
		printf("left alone: %s\n", contents.damage[i].text);
	store_contents_clear(&contents);
	return 0;
}

/* A killed daemon's, or one that a service manager holds for the next. */
static int daemon_mode_remove_socket(const char *path, const char *what, unsigned *count, struct err *err)
{
	struct stat status;

	if (lstat(path, &status) < 0 || !S_ISSOCK(status.st_mode))
		return 0;
	if (unlink(path) < 0 && errno != ENOENT)
		return err_set(err, errno, "%s", path);
	(*count)++;
	printf("removed %s %s\n", what, path);
	return 0;
}

/* Nobody answers on the control socket, for the locks of a daemon are ours. The door's path may be that of a daemon beside it. */
static int daemon_mode_remove_sockets(const struct options *options, const struct config *config, unsigned *count,
				      struct err *err)
{
	const char *door = config->door.socket;

	if (daemon_mode_remove_socket(options->socket, "control socket", count, err) < 0)
		return -1;
	if (!door || base_socket_is_served(door))
		return 0;
	return daemon_mode_remove_socket(door, "door", count, err);
}

/*
 * Removes the programs that lead clients of loopback addresses to guests. They go first, and even where VMs live, because nobody renews their
 * lease. Those of a link group that only a former configuration had may belong to another daemon that runs: they stay then.
 */
static int daemon_mode_remove_loopback(const struct config *config, unsigned *count, struct err *err)
{
	uint32_t groups[CONFIG_LAYOUTS_MAX];
	size_t group_count = config_layout_groups(config, groups);
	char pins[KERN_LOOPBACK_PATH_SIZE];

	for (size_t i = 0; i < group_count; i++) {
		bool found = false;

		kern_loopback_pins(groups[i], pins);
		if (kern_loopback_remove(pins, &found, err) < 0 &&
		    (groups[i] == config->layout.link_group || err->code != EBUSY))
			return -1;
		if (!found)
			continue;
		(*count)++;
		printf("removed BPF programs %s\n", pins);
	}
	return 0;
}

static void daemon_mode_print_live(void *context, const struct fabric_found *found)
{
	unsigned *count = context;

	(*count)++;
	if (found->alias[0])
		printf("left sandbox %s, slot %u: a VM runs on its TAP\n", found->alias, found->slot);
	else
		printf("left slot %u: a VM runs on its TAP\n", found->slot);
}

/* Removes everything; COUNT are gone already. The locks of a running daemon are ours. Returns the exit code. */
static int daemon_mode_remove_all(const struct options *options, const struct config *config, struct store *store,
				  unsigned count)
{
	struct err err;

	if (fabric_cleanup(config, daemon_mode_print_removed, &count, &err) < 0 ||
	    daemon_mode_remove_state_files(store, &count, &err) < 0 || store_marks_remove(store, &err) < 0 ||
	    daemon_mode_remove_sockets(options, config, &count, &err) < 0) {
		fprintf(stderr, "weftd: %s\n", err.text);
		return EX_OSERR;
	}
	printf("%u removed, nothing left\n", count);
	return EX_OK;
}

/* The same, unless a VM runs. */
static int daemon_mode_remove_unused(const struct options *options, const struct config *config, struct store *store,
				     unsigned count)
{
	unsigned live = 0;
	struct err err;

	if (fabric_list_live(config, daemon_mode_print_live, &live, &err) < 0) {
		fprintf(stderr, "weftd: %s\n", err.text);
		return EX_OSERR;
	}
	if (!live)
		return daemon_mode_remove_all(options, config, store, count);
	printf(count ? "nothing else removed\n" : "nothing removed\n");
	return EX_TEMPFAIL;
}

static int daemon_mode_remove(const struct options *options, const struct config *config, struct store *store)
{
	unsigned count = 0;
	struct err err;

	if (daemon_mode_remove_loopback(config, &count, &err) < 0) {
		fprintf(stderr, "weftd: %s\n", err.text);
		return EX_OSERR;
	}
	return options->unless_live ? daemon_mode_remove_unused(options, config, store, count)
				    : daemon_mode_remove_all(options, config, store, count);
}

/* What was made by another configuration is removed as well, and what was made by none. */
static int daemon_mode_know_layouts(const struct config *config, struct store *store, struct err *err)
{
	struct config *defaults = config_default();
	bool known = defaults && config_layout_add(config, &defaults->layout);
	struct store_contents contents;

	config_free(defaults);
	if (!known)
		return err_set(err, ENOMEM, "layouts of slots");
	if (store_marks_load(store, err) < 0 && err->code != ENOENT && err->code != EBADMSG)
		return -1;
	/* The state files add those of their sandboxes while they are read. */
	if (store_load(store, &contents, err) < 0)
		return -1;
	store_contents_clear(&contents);
	return fabric_find_layouts(config, err);
}

int daemon_mode_cleanup(const struct options *options)
{
	int exit_code;
	struct err err;
	/* Objects that are to go need not fit the host any more: only names and ranges count. */
	struct config *config =
	    daemon_load_config(options, false, CONFIG_PATIENCE_MS, daemon_load_config_print_mistake, NULL, &exit_code);

	if (!config)
		return exit_code;
	/* The locks keep us from removing what a running daemon uses. */
	AUTO_FD int lock = daemon_lock_host(config->layout.link_group, &err);
	struct store *store = lock < 0 ? NULL : store_open(options->state_dir, config, &err);
	if (!store || daemon_mode_know_layouts(config, store, &err) < 0) {
		fprintf(stderr, "weftd: %s\n", err.text);
		store_close(store);
		config_free(config);
		return EX_OSERR;
	}
	exit_code = daemon_mode_remove(options, config, store);
	store_close(store);
	config_free(config);
	return exit_code;
}

static int daemon_mode_run(const struct options *options)
{
	switch (options->mode) {
	case WEFTD_RUN:
		return daemon_run(options);
	case WEFTD_CHECK:
		return daemon_mode_check(options);
	case WEFTD_CLEANUP:
		return daemon_mode_cleanup(options);
	case WEFTD_VERSION:
		printf("weftd %s\n", PACKAGE_VERSION);
		return EX_OK;
	case WEFTD_HELP:
		daemon_options_print_help(stdout);
		return EX_OK;
	}
	return EX_SOFTWARE;
}

/* What was printed counts only where it was written. */
static int daemon_mode_finish_output(int exit_code)
{
	errno = 0;
	if ((fflush(stdout) == 0 && !ferror(stdout)) || exit_code != EX_OK)
		return exit_code;
	fprintf(stderr, "weftd: writing the output: %s\n", errno ? strerror(errno) : "failed");
	return EX_IOERR;
}

int daemon_main(int argc, char **argv)
{
	struct options options;
	struct err err;

	if (base_fill_standard_fds() < 0)
		return EX_OSERR;
	if (daemon_options_parse(argc, argv, &options) < 0) {
		fprintf(stderr, "Try 'weftd --help'.\n");
		return EX_USAGE;
	}
	/* Slots are made and taken apart from within their namespaces: the threads need one to return to. */
	if (base_netns_init(&err) < 0) {
		fprintf(stderr, "weftd: %s\n", err.text);
		return EX_OSERR;
	}
	return daemon_mode_finish_output(daemon_mode_run(&options));
}
