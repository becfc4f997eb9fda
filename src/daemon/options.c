/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * getopt_long(3) does the reading, and names an unknown option by itself. --help goes with everything and does nothing else.
 */
#include "daemon/options.h"

#include "config/config.h"

#include <getopt.h>

enum {
	OPTION_CONFIG = 256,
	OPTION_SOCKET,
	OPTION_STATE_DIR,
	OPTION_FOREGROUND,
	OPTION_CHECK,
	OPTION_BEFORE_RESTART,
	OPTION_CLEANUP,
	OPTION_UNLESS_LIVE,
	OPTION_VERSION,
	OPTION_HELP
};

static const struct option long_options[] = {
	{ "config", required_argument, NULL, OPTION_CONFIG },
	{ "socket", required_argument, NULL, OPTION_SOCKET },
	{ "state-dir", required_argument, NULL, OPTION_STATE_DIR },
	{ "foreground", no_argument, NULL, OPTION_FOREGROUND },
	{ "check", no_argument, NULL, OPTION_CHECK },
	{ "before-restart", no_argument, NULL, OPTION_BEFORE_RESTART },
	{ "cleanup", no_argument, NULL, OPTION_CLEANUP },
	{ "unless-live", no_argument, NULL, OPTION_UNLESS_LIVE },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ 0 },
};

/* The option that chooses MODE. */
static const char *daemon_options_mode_name(enum weftd_mode mode)
{
	switch (mode) {
	case WEFTD_CHECK:
		return "--check";
	case WEFTD_CLEANUP:
		return "--cleanup";
	case WEFTD_VERSION:
		return "--version";
	case WEFTD_HELP:
		return "--help";
	case WEFTD_RUN:
		break;
	}
	return "";
}

/* Of two modes, one removes every sandbox: it must not depend on their order which of them is meant. */
static int daemon_options_set_mode(struct options *options, enum weftd_mode mode)
{
	if (options->mode != WEFTD_RUN && options->mode != mode) {
		fprintf(stderr, "weftd: %s and %s exclude each other\n", daemon_options_mode_name(options->mode),
			daemon_options_mode_name(mode));
		return -1;
	}
	options->mode = mode;
	return 0;
}

static int daemon_options_take(int option, struct options *options)
{
	switch (option) {
	case OPTION_CONFIG:
		options->config = optarg;
		return 0;
	case OPTION_SOCKET:
		options->socket = optarg;
		return 0;
	case OPTION_STATE_DIR:
		options->state_dir = optarg;
		return 0;
	case OPTION_FOREGROUND:
		options->foreground = true;
		return 0;
	case OPTION_CHECK:
		return daemon_options_set_mode(options, WEFTD_CHECK);
	case OPTION_BEFORE_RESTART:
		options->before_restart = true;
		return 0;
	case OPTION_CLEANUP:
		return daemon_options_set_mode(options, WEFTD_CLEANUP);
	case OPTION_UNLESS_LIVE:
		options->unless_live = true;
		return 0;
	case OPTION_VERSION:
		return daemon_options_set_mode(options, WEFTD_VERSION);
	case OPTION_HELP:
		options->help = true;
		return 0;
	}
	return -1; /* getopt_long() has printed the mistake */
}

int daemon_options_parse(int argc, char **argv, struct options *options)
{
	int option;

	*options = (struct options){ .socket = "/run/weft/control.sock", .state_dir = "/run/weft/state" };
	while ((option = getopt_long(argc, argv, "", long_options, NULL)) >= 0)
		if (daemon_options_take(option, options) < 0)
			return -1;
	if (optind < argc) {
		fprintf(stderr, "weftd: unexpected argument '%s'\n", argv[optind]);
		return -1;
	}
	if (options->help) {
		options->mode = WEFTD_HELP;
		return 0;
	}
	if (options->unless_live && options->mode != WEFTD_CLEANUP) {
		fprintf(stderr, "weftd: --unless-live goes with --cleanup alone\n");
		return -1;
	}
	if (options->before_restart && options->mode != WEFTD_CHECK) {
		fprintf(stderr, "weftd: --before-restart goes with --check alone\n");
		return -1;
	}
	return 0;
}

void daemon_options_print_help(FILE *out)
{
	fputs("Usage: weftd [OPTION]...\n"
	      "The network of the microVM sandboxes on this host. See weftd(8).\n"
	      "\n"
	      "  --config FILE     configuration (default: " SYSCONFDIR "/weft/weftd.conf, if it is there)\n"
	      "  --socket PATH     control socket (default: /run/weft/control.sock)\n"
	      "  --state-dir DIR   state directory (default: /run/weft/state)\n"
	      "  --foreground      log to stderr\n"
	      "  --check           validate the configuration and the host, and exit\n"
	      "  --before-restart  with --check: of the host only what would end a start counts\n"
	      "  --cleanup         remove all that carries weft's mark, say what, and exit\n"
	      "  --unless-live     with --cleanup: remove nothing while a VM runs\n"
	      "  --version         print the version, and exit\n"
	      "  --help            print this, and exit\n"
	      "\n"
	      "Options of the configuration file, see weftd.conf(5):\n\n",
	      out);
	config_print_options(out);
}
