/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds the configuration file, and adds the checks that need a look at the host.
 */
#include "daemon/load_config.h"

#include "base/err.h"
#include "base/log.h"
#include "config/config.h"
#include "daemon/door.h"
#include "daemon/local_users.h"
#include "daemon/options.h"
#include "inspect/inspect.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define DEFAULT_CONFIG SYSCONFDIR "/weft/weftd.conf"

void daemon_load_config_print_mistake(void *context, const char *mistake)
{
	(void)context;
	fprintf(stderr, "%s\n", mistake);
}

static void daemon_load_config_check_group(const struct config *config, struct config_mistakes *mistakes)
{
	const char *group = config->daemon.socket_group;

	if (group && !getgrnam(group))
		config_mistake_add(mistakes, config, "daemon", "socket_group",
				   "no such group; allowed: the name of a group of this host");
}

/* The checks that need a look at the host. */
static void daemon_load_config_check_host(const struct config *config, struct config_mistakes *mistakes)
{
	daemon_load_config_check_group(config, mistakes);
	daemon_local_users_check(config, mistakes);
	daemon_door_check(config, mistakes);
	inspect_check_config(config, mistakes);
}

static struct config *daemon_load_config_file(const char *path, config_host_check *host_check, unsigned patience_ms,
					      struct config_mistakes *mistakes)
{
	struct config *config;

	if (path)
		return config_load(path, patience_ms, host_check, mistakes);
	config = config_default();
	if (!config)
		mistakes->trouble = ENOMEM;
	if (config && host_check)
		host_check(config, mistakes);
	return config;
}

/* The exit code of a configuration that could not be had for the errno TROUBLE; 0: it has mistakes. */
static int daemon_load_config_exit_code(int trouble)
{
	if (!trouble)
		return EX_CONFIG;
	return err_code_is_exhaustion(trouble) ? EX_OSERR : EX_NOINPUT;
}

const char *daemon_load_config_path(const struct options *options)
{
	if (options->config)
		return options->config;
	return access(DEFAULT_CONFIG, F_OK) == 0 ? DEFAULT_CONFIG : NULL;
}

struct config *daemon_load_config(const struct options *options, bool check_host, unsigned patience_ms,
				  void (*report)(void *context, const char *mistake), void *context, int *exit_code)
{
	const char *path = daemon_load_config_path(options);
	struct config_mistakes mistakes = { 0 };
	char text[1024];

	struct config *config =
	    daemon_load_config_file(path, check_host ? daemon_load_config_check_host : NULL, patience_ms, &mistakes);
	if (config && !mistakes.count && daemon_local_users_resolve(config) < 0) {
		config_free(config);
		config = NULL;
		mistakes.trouble = ENOMEM;
	}
	for (size_t i = 0; i < mistakes.count; i++) {
		config_mistake_format(&mistakes, &mistakes.items[i], text, sizeof(text));
		report(context, text);
	}
	for (size_t i = 0; i < mistakes.warnings.count; i++) {
		config_mistake_format(&mistakes, &mistakes.warnings.items[i], text, sizeof(text));
		log_warning("configuration read otherwise than it is written", F_STR("at", text));
	}
	*exit_code = EX_OK;
	if (!config || mistakes.count) {
		config_free(config);
		config = NULL;
		*exit_code = daemon_load_config_exit_code(mistakes.trouble);
	}
	config_mistakes_clear(&mistakes);
	return config;
}
