/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_REGISTRY_SPEC_H
#define WEFT_REGISTRY_SPEC_H

/*
 * A specification: the body of a registration, with defaults filled in. It is stored, compared when the manager asks again, and
 * changed by PATCH. Plain data, without an owner of its own.
 */

#include "base/addr.h"
#include "base/sandbox_name.h"
#include "config/door_policy.h"
#include "config/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct config;
struct problem;
struct spec_items;
struct spec_table;

enum {
	SANDBOX_ID_MAX = BASE_NAME_MAX,
	SPEC_PORTS_MAX = 256,   /* published ports of one sandbox */
	SPEC_LISTEN_MAX = 8,    /* addresses of one port */
	SPEC_EGRESS_MAX = 1024, /* entries of allow, and of deny */
	SPEC_EGRESS_PORTS_MAX = 64,
	SPEC_LABELS_MAX = 64,
	SPEC_WAKE_PORTS_MAX = 64, /* ports that are listed to wake one sandbox */
	SPEC_LABEL_KEY_MAX = 63,
	SPEC_LABEL_VALUE_MAX = 255,
};

enum via {
	VIA_FORWARDER, /* weftd's own listener */
	VIA_NAT,       /* an entry of the host's nft map */
};

struct spec_port {
	uint16_t guest_port;
	enum proto proto;
	enum via via;
	bool proxy_protocol; /* v2 header before the client's bytes */
	bool automatic;      /* no `listen` given: a free port of [ports] range, on 127.0.0.1 and ::1 */
	struct addr listen[SPEC_LISTEN_MAX];
	size_t listen_count; /* 0 while automatic */
};

struct port_range {
	uint16_t first, last; /* equal for a single port */
};

struct egress_rule {
	struct cidr4 cidr;
	bool any_proto;   /* neither proto nor ports given: to deny all, to allow TCP, UDP and ICMP */
	uint8_t ip_proto; /* IPPROTO_* */
	struct port_range ports[SPEC_EGRESS_PORTS_MAX]; /* disjoint, in their order */
	size_t port_count;                              /* 0: all ports of IP_PROTO */
};

struct egress {
	bool internet;
	struct egress_rule *allow, *deny;
	size_t allow_count, deny_count;
	unsigned dscp; /* of what leaves the slot; 0: as the guest sets it */
	bool isolated; /* nothing that the guest begins gets out, to services of the host and DNS servers neither */
};

struct bandwidth {
	struct rate to_guest, from_guest;
};

/* A port of the guest, whose first packets wake it. */
struct wake_port {
	enum proto proto;
	uint16_t port;
};

enum wake_which {
	WAKE_NEVER,     /* no packet, and no client: the manager alone resumes it */
	WAKE_PUBLISHED, /* the guest's ports that are published, whichever they are then */
	WAKE_LISTED,    /* those of PORTS */
	WAKE_ANY,       /* every port, of TCP and of UDP */
};

/* What wakes a sandbox while it is paused. Without it the numbers are the defaults, and count for nothing. */
struct spec_wake {
	enum wake_which which;
	struct wake_port *ports; /* none twice; in the order of the request, which does not count */
	size_t port_count;       /* 0 unless they are listed */
	unsigned min_awake_ms;   /* how long after a pause nothing wakes it; may be 0 */
	unsigned timeout_ms;     /* until its manager is asked once more, and until a held client is reset */
};

/* Keys and values are malloc()ed. */
struct label {
	char *key, *value;
};

struct spec {
	char name[SANDBOX_ID_MAX + 1]; /* "": none */
	struct spec_port *ports;
	size_t port_count;
	bool is_default;
	uint16_t ready_port; /* 0: none */
	struct config_owner tap_owner;
	struct egress egress;
	struct bandwidth bandwidth;
	struct limits limits;
	struct door_policy door;
	struct spec_wake wake;
	unsigned idle_report_ms; /* without traffic, until an event says so; 0: never */
	struct label *labels;    /* sorted by key */
	size_t label_count;
};

/* Its fields, see registry/fields.h. */
extern const struct spec_table spec_table;

/* The kind of list that "ports" and a PATCH's "publish" are. */
extern const struct spec_items spec_port_items;

/* A specification with the configuration's defaults and no ports. NULL only for lack of memory. */
struct spec *registry_spec_new(const struct config *config);
struct spec *registry_spec_copy(const struct spec *spec);
void registry_spec_free(struct spec *spec);

/* Whether both ask for the same: the order of ports counts, that of rules and labels does not, and the name is left out. */
bool registry_spec_equal(const struct spec *a, const struct spec *b);

/* Whether both let the same clients through the door. */
bool registry_spec_door_equal(const struct spec *a, const struct spec *b);

/* Whether both ask for the same port. Automatic ports do, whatever addresses they got. */
bool registry_spec_port_equal(const struct spec_port *a, const struct spec_port *b);

/* 0, or -1 with PROBLEM, which names the field: addresses and ports that the configuration refuses, ports given twice, ... */
int registry_spec_check(const struct spec *spec, const struct config *config, struct problem *problem);

/* A part of it: whether ports agree with each other. PREFIX: JSON pointer of their list ("/ports"). */
int registry_spec_check_ports(const struct spec_port *ports, size_t count, const char *prefix, struct problem *problem);

/* A part of it: whether the configuration lets ADDR be listened on. FIELD: JSON pointer to blame. */
int registry_spec_check_listen(const struct addr *addr, enum via via, const struct config *config, const char *field,
			       struct problem *problem);

/* Whether two listening addresses exclude each other: the same port of the same address, or of a wildcard. */
bool registry_spec_listen_collides(const struct addr *a, const struct addr *b);

/* Of the addresses asked for, the one of B that excludes one of A. NULL: A and B do not collide. */
const struct addr *registry_spec_port_collision(const struct spec_port *a, const struct spec_port *b);

/* Of an id, and of a name. */
#define SANDBOX_ID_PATTERN "[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
bool registry_sandbox_id_is_valid(const char *id);

#endif
