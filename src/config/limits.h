/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CONFIG_LIMITS_H
#define WEFT_CONFIG_LIMITS_H

/*
 * Parts of the configuration that a specification has too, and the rates that go with them.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The limits of the connections of one sandbox: the defaults of the configuration, or those that its manager asked for. */
struct limits {
	unsigned connections;         /* 0: no limit of its own */
	unsigned connect_deadline_ms; /* from accept to the guest's answer */
	unsigned idle_ms;             /* 0: none */
	unsigned half_closed_ms;      /* 0: none */
	unsigned keepalive_ms;        /* 0: off */
};

struct rate {
	uint64_t rate;  /* bytes a second; 0: no limit */
	uint64_t burst; /* bytes */
};

/* The owner of a TAP. */
struct config_owner {
	bool set;
	uid_t uid;
	gid_t gid;
};

#endif
