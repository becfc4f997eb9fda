/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CONFIG_CONFIG_H
#define WEFT_CONFIG_CONFIG_H

/*
 * The configuration: the options of weftd.conf(5) with their defaults, checked as far as that needs no look at the host.
 *
 * All rooms may read it; only main loads it. A reload makes a new object, and hands the few reloadable options to the rooms
 * that they concern. Keep no pointer into it across a reload other than a struct config *.
 */

#include "base/addr.h"
#include "base/log.h"
#include "base/vec.h"
#include "config/layout.h"
#include "config/limits.h"
#include "config/service.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

enum {
	CONFIG_SLOT_MAX = 32766,
	CONFIG_DSCP_MAX = 63,
	CONFIG_SOCKET_MAX = 107, /* of a path, unix(7) */
	CONFIG_DOMAIN_MAX = 189, /* a label more, and it is as long as a name in DNS can be */
};

/* Who runs HAProxy, on Debian. It may be installed later, so that this group alone need not be there. */
#define CONFIG_DOOR_GROUP "haproxy"

enum host_forward {
	HOST_FORWARD_ENABLE,  /* set net.ipv4.ip_forward where it is 0, and say so */
	HOST_FORWARD_REQUIRE, /* refuse to start where it is 0 */
};

/* Which clients of loopback endpoints the kernel connects to the guest by itself. */
enum forwarder_loopback {
	LOOPBACK_FORWARDER, /* none */
	LOOPBACK_KERNEL,    /* those of every port that has answered */
	LOOPBACK_AUTO,      /* those of the ready_port, and of the default endpoint */
};

struct addr_list {
	VEC_OF(struct addr);
};

struct cidr4_list {
	VEC_OF(struct cidr4);
};

enum { CONFIG_USER_NAME_SIZE = 64 };

/* Users or groups: one by its name, or FIRST to LAST by number. */
struct config_users {
	bool group;
	char name[CONFIG_USER_NAME_SIZE]; /* empty: by number */
	uint32_t first, last;
};

struct config_users_list {
	VEC_OF(struct config_users);
};

struct config {
	struct {
		char *socket_group; /* NULL: root alone */
		enum log_level log_level;
		enum log_format log_format;
		unsigned workers; /* at least 1 */
	} daemon;
	struct config_layout layout;    /* [names] and [addresses]: of new slots */
	struct config_layouts *layouts; /* those of former configurations, see config/layouts.h */
	struct {
		char *uplink;          /* NULL: the default route's link */
		struct cidr4_list dns; /* /32 each */
	} addresses;
	struct {
		struct addr_list default_listen; /* empty: no default endpoint */
		uint16_t default_guest_port;
		unsigned default_wait_ms;
		unsigned connect_deadline_ms;
		unsigned refused_grace_ms;
		unsigned idle_ms;              /* 0: no limit */
		unsigned half_closed_ms;       /* 0: no limit */
		unsigned keepalive_ms;         /* 0: off */
		unsigned connections;          /* for all sandboxes together; 0: as many as descriptors allow */
		unsigned sandbox_connections;  /* for one whose registration has no limit; 0: its share */
		unsigned udp_flows;            /* of one UDP endpoint */
		unsigned udp_flows_per_client; /* of one client's address there */
		bool handover;
		unsigned stop_drain_ms;
		enum forwarder_loopback loopback;
		char *cgroup; /* absolute path; NULL: where the host has its cgroup2 */
	} forwarder;
	struct {
		uint16_t first, last;            /* automatic ports */
		struct cidr4_list allow_address; /* non-loopback addresses that may be listened on */
		bool allow_privileged;
	} ports;
	struct {
		enum host_forward ip_forward;
	} host;
	struct {
		unsigned size;   /* 0: no pool */
		unsigned refill; /* slots a second; 0: as fast as they are made */
		unsigned quarantine_ms;
		struct config_owner tap_owner; /* of all slots whose registration names none */
	} pool;
	struct {
		bool internet;
		struct config_service_list allow_host; /* each at an address of its own */
		struct config_redirect_list redirect;  /* each for a port of its own */
		uint16_t service_port;                 /* where weftd hears of what it forwards to services */
		struct cidr4_list open;                /* exceptions from the always-denied ranges */
		unsigned flows;                        /* tracked, of one guest at once */
		unsigned connections;                  /* of one guest at once, carried to services */
		unsigned dscp;                         /* where a registration says nothing; 0: as guests set it */
	} egress;
	struct {
		struct cidr4_list allow;
		struct config_users_list local_users; /* as they were written; empty: everybody, else these and root */
		/* The same by number alone, sorted, apart and with the members of groups; no option: see daemon/local_users.h. */
		struct config_users_list local_ids;
	} ingress;
	struct {
		struct addr_list listen; /* empty: off */
		bool sandbox_metrics;    /* series for each sandbox */
	} http;
	struct {
		char *socket; /* absolute path; NULL: no door */
		char *group;  /* whose members may connect, by name; NULL: root alone */
		unsigned hold_ms;
		bool is_public; /* where a registration does not say */
		char *domain;   /* of the sandboxes' own host names, for links; NULL: none */
		unsigned backlog;
	} door;
	struct {
		char *
		    notify; /* absolute path of the manager's unix socket; NULL: nobody is told but readers of events */
		struct cidr4_list ignore; /* sources that wake nobody */
	} wake;
	struct {
		char *redis;         /* see config/catalog_place.h; NULL: nothing is published */
		char *password_file; /* absolute path; NULL: none */
		char *key_prefix;    /* NULL: empty */
		char *address;       /* NULL without REDIS alone */
		char *host_id;       /* NULL: the host's name */
		unsigned ttl_ms;
	} catalog;
};

/* One mistake in a configuration file. */
struct config_mistake {
	unsigned line;  /* 1 and up; 0 where no line is to blame */
	char text[320]; /* "[ports] range = 5: ..., allowed: ...": section, key, value and what is allowed */
};

/* All the mistakes of one file, and what it should say better. Zeroed before use. */
struct config_mistakes {
	char *file; /* the path as given; NULL for defaults alone */
	int trouble; /* the errno for which the file, or memory to read it, could not be had; 0: the mistakes are in its text */
	VEC_OF(struct config_mistake);
	struct {
		VEC_OF(struct config_mistake);
	} warnings; /* of values that were taken all the same */
};

/* The defaults. NULL only for lack of memory. */
struct config *config_default(void);

/* Checks CONFIG against the host and adds the mistakes that it finds, see config_mistake_add(). */
typedef void config_host_check(const struct config *config, struct config_mistakes *mistakes);

enum {
	CONFIG_PATIENCE_MS = 10000,       /* that a program which starts has with a pipe */
	CONFIG_PATIENCE_RELOAD_MS = 1000, /* for a daemon that runs: its clients wait meanwhile */
};

/*
 * Reads PATH, a regular file or a pipe that ends within PATIENCE_MS, over the defaults and checks the values against each other
 * (ranges that overlap, names longer than the 15 characters of a link for the highest slot, ...), then by HOST_CHECK unless that
 * is NULL. HOST_CHECK is called even after mistakes; for an option whose value is wrong it sees the default. NULL with at least
 * one entry in MISTAKES, which has all of them.
 */
struct config *config_load(const char *path, unsigned patience_ms, config_host_check *host_check,
			   struct config_mistakes *mistakes);

/* The same from a stream, for tests and fuzzing; NAME stands for the path. */
struct config *config_load_stream(FILE *stream, const char *name, config_host_check *host_check,
				  struct config_mistakes *mistakes);

/*
 * Adds a mistake found by a check that needs the host (addresses, routes, bindable addresses, groups), so that one report has
 * all. SECTION and KEY name the option; its line and value are looked up, and the text need not repeat them. An option whose
 * value was refused has only its default, and is not reported once more.
 */
void config_mistake_add(struct config_mistakes *mistakes, const struct config *config, const char *section,
			const char *key, const char *format, ...) __attribute__((format(printf, 5, 6)));

/* The same for one value of a list: the one at INDEX, counted from 0, which is printed as VALUE. */
void config_mistake_add_item(struct config_mistakes *mistakes, const struct config *config, const char *section,
			     const char *key, size_t index, const char *value, const char *format, ...)
    __attribute__((format(printf, 7, 8)));

/* "FILE:LINE: TEXT" into TEXT. */
void config_mistake_format(const struct config_mistakes *mistakes, const struct config_mistake *mistake, char *text,
			   size_t size);

void config_mistakes_clear(struct config_mistakes *mistakes);

void config_free(struct config *config);

/* LAYOUT, or that of new slots where it is NULL. */
const struct config_layout *config_layout_or_new(const struct config *config, const struct config_layout *layout);

/*
 * Copies the reloadable options of FROM into CONFIG. Returns how many other options differ (they need a restart); each is
 * logged as a warning by name.
 */
unsigned config_reload(struct config *config, const struct config *from);

/* Takes one option. VALUE is as in the file; of a LIST it has spaces between the items. The texts are valid during the call. */
typedef void config_option_take(void *context, const char *section, const char *key, const char *value, bool list);

/* Hands each option to TAKE, in the order of weftd.conf(5). 0, or -1 for want of memory. */
int config_each_option(const struct config *config, config_option_take *take, void *context);

/* Sets one option to such a text. 0, or -1: there is no such option, or VALUE is not allowed; CONFIG is as before. */
int config_set(struct config *config, const char *section, const char *key, const char *value);

/*
 * A copy with all options and layouts, and with the ids that were looked up; NULL for want of memory. It knows no file, so that no
 * mistake can be placed in it.
 */
struct config *config_copy(const struct config *config);

/* Prints every option with section, default and text: for --help, and for the check of weftd.conf(5). */
void config_print_options(FILE *out);

#endif
