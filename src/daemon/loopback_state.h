/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_LOOPBACK_STATE_H
#define WEFT_DAEMON_LOOPBACK_STATE_H

/* What the files of loopback.h share. */

#include "base/loop.h"
#include "config/config.h"
#include "kernel/bpf.h"
#include "registry/endpoint_path.h"

#include <stdbool.h>
#include <stdint.h>

struct daemon;
struct err;
struct tenant;

struct loopback {
	struct daemon *daemon;
	struct kern_loopback *kern; /* NULL: there is none */
	uint64_t since_us;          /* clock_now_us() when this table was made; 0: there is none */
	bool was_open;              /* there was one in this run */
	bool opened;                /* the start has tried to open it, or found that it is off */
	bool broken;                /* an entry could not be deleted: the lease has ended, and a new table is due */
	bool troubled;              /* an update failed, and is to be repeated */
	char error[256];            /* of the last update that failed, or why there is no table; "": all is well */
	char cgroup[KERN_LOOPBACK_PATH_SIZE];
	char pins[KERN_LOOPBACK_PATH_SIZE];
	struct timer timer;
	struct endpoint default_endpoint; /* its first addresses; a handle means that weft listens there */
	struct tenant *default_tenant;    /* to which entries of the default endpoint lead; NULL: to none */
	size_t entries;
	uint64_t read_again_us; /* when the hits may be read again */
};

/* Logs and notes that an update failed, and has it repeated. */
void daemon_loopback_complain(struct loopback *loopback, const char *what, const struct err *err);

struct path_facts daemon_loopback_facts(const struct loopback *loopback);
void daemon_loopback_follow_all(struct loopback *loopback);

/* Deletes the entries of all tenants. */
void daemon_loopback_cut_all(struct loopback *loopback);

/* PORT of TENANT's guest has answered. */
void daemon_loopback_learn(struct tenant *tenant, uint16_t port, enum proto proto);

/* Adds the HITS of a deleted entry of ENDPOINT to the connections of TENANT. */
void daemon_loopback_count(struct tenant *tenant, const struct endpoint *endpoint, uint64_t hits);

/* The tenant whose host address that is; NULL: none. */
struct tenant *daemon_loopback_owner(const struct daemon *daemon, uint32_t host_ip);

/* Reads the hits of all entries, unless that was done just now; NOW: even then. */
void daemon_loopback_read_hits(struct loopback *loopback, bool now);

#endif
