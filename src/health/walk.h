/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_HEALTH_WALK_H
#define WEFT_HEALTH_WALK_H

/* Shared by the files of one hop each. For health/ alone. */

#include "base/err.h"
#include "config/config.h"
#include "fabric/slot/drift.h"
#include "health/diagnose.h"
#include "health/front_door.h"
#include "health/guest_probe.h"
#include "inspect/look.h"
#include "inspect/ruleset.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { HOP_PORTS_MAX = 32 }; /* of the guest's ports, so many are tried */

struct walk {
	const struct diagnose_request *request;
	struct diagnosis *diagnosis;
	int netns_fd;    /* of the sandbox's namespace; -1: its file could not be opened */
	int netns_error; /* errno then; ENOENT: it is not there */
	char netns[CONFIG_NAME_SIZE];
	char veth[CONFIG_LINK_SIZE];
	/* The guest's ports that the `kernel` hop tries: those that serve, else the first. */
	uint16_t ports[HOP_PORTS_MAX];
	size_t port_count; /* 0: none was tried yet */
	bool served;       /* something in the guest accepts on each of them */
};

/* Fills in HOP. With SUBJECT_ONLY the path is broken already: name the subject and try nothing. */
typedef enum hop_status hop_check(struct walk *walk, struct hop *hop, bool subject_only);

hop_check hop_door, hop_listen, hop_veth, hop_route, hop_rules, hop_tap, hop_guest, hop_tcp, hop_http, hop_kernel,
    hop_egress;

void hop_subject(struct hop *hop, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The subject "ADDRESS:80, 81". */
void hop_subject_ports(struct hop *hop, uint32_t address, const uint16_t *ports, size_t count);

/*
 * Looks for what others changed of the parts in SCOPE, and, but for the veth's, for what decides instead of a route of weft's
 * (health/hops/drift.c). HOP_OK; else HOP has the fault, and the walk its cause, unless the links could not be looked at.
 */
enum hop_status hop_drift(struct walk *walk, struct hop *hop, enum slot_drift_scope scope);

/* Whether something in the namespace is not weft's, and so may be why packets get lost there: then that is the walk's cause. */
bool hop_drift_is_foreign(struct walk *walk);

enum { HOP_AGE_SIZE = 32 };

/* "just now", "2 s ago", "5 min ago", "3 h ago" or "2 days ago". */
const char *hop_age(uint64_t age_ms, char text[static HOP_AGE_SIZE]);

/* Whether the sandbox is paused, and something would wake it. */
bool hop_is_asleep(const struct walk *walk);

/* What would wake it, or since when its manager is asked to resume it. */
void hop_asleep_tell(const struct walk *walk, char *text, size_t size);

/* The finding about the guest of a paused sandbox, which is not tried: HOP_FAIL with its cause if the manager does not resume it. */
enum hop_status hop_asleep_judge(struct walk *walk, struct hop *hop);

/* Appends to TEXT; where there is no room left, it ends in an ellipsis. */
void hop_append(char *text, size_t size, const char *more);

/* Sets the detail and returns STATUS. */
enum hop_status hop_say(struct hop *hop, enum hop_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#define hop_ok(hop, ...)   hop_say(hop, HOP_OK, __VA_ARGS__)
#define hop_skip(hop, ...) hop_say(hop, HOP_SKIPPED, __VA_ARGS__)
#define hop_fail(hop, ...) hop_say(hop, HOP_FAIL, __VA_ARGS__)
#define hop_idle(hop, ...) hop_say(hop, HOP_IDLE, __VA_ARGS__)

/*
 * The cause and the next step, from the hop that fails. A hop that could not be looked at has none: a shortage says nothing about
 * the sandbox, and the walk itself tells of it.
 */
#define walk_cause(walk, ...) snprintf((walk)->diagnosis->cause, sizeof((walk)->diagnosis->cause), __VA_ARGS__)
#define walk_next_step(walk, ...)                                                                                      \
	snprintf((walk)->diagnosis->next_step, sizeof((walk)->diagnosis->next_step), __VA_ARGS__)
#define walk_clear(walk) ((walk)->diagnosis->cause[0] = (walk)->diagnosis->next_step[0] = '\0')

/* Whether the agent is expected to serve: its port is published, or the ready_port, or the default endpoint leads to it. */
bool hop_has_agent(const struct diagnose_request *request);

/* ---- Rules of others that may have dropped or redirected a packet ---- */

struct hop_suspicion {
	enum ruleset_hook hook;
	enum ruleset_verdict verdict; /* VERDICT_DROP or VERDICT_REDIRECT */
	struct ruleset_packet packet;
};

/*
 * Asks the host's ruleset for the rule of another program that explains the fate of a packet, and makes it the walk's cause: "WHAT are
 * dropped in ...", with the next step. SURE: only a rule that surely does it counts. False: there is none, or the ruleset cannot be
 * read, and the walk has no cause yet.
 */
bool hop_blame(struct walk *walk, const char *what, const struct hop_suspicion *suspicions, size_t count, bool sure);

/* ---- Judgements, apart from the looks that they judge ---- */

/* What was seen of the front door, which is in use. */
struct hop_door_seen {
	struct health_door door;
	uint16_t port;                 /* of the guest, that clients ask for */
	struct health_door_answer own; /* to who asks for it; not asked where that might disturb the guest */
};

/* The finding at hop `door`, with its cause. */
enum hop_status hop_door_judge(struct walk *walk, struct hop *hop, const struct hop_door_seen *seen);

/* A port of the guest that was tried. */
struct hop_port {
	bool required; /* the sandbox is broken without it */
	struct probe_port probe;
};

/* The finding at hop `tcp`; the walk has its cause if it is HOP_FAIL. */
enum hop_status hop_tcp_judge(struct walk *walk, struct hop *hop, const struct hop_port *ports, size_t count);

/* What was seen of a dial from the host to the sandbox's host address. */
struct hop_kernel_seen {
	struct probe_dial dial;
	bool served;                              /* something in the guest accepts on this port */
	bool tracked;                             /* conntrack could be asked for the next two */
	struct inspect_look_flow outside, inside; /* on the host, and in the namespace */
};

/*
 * The finding at hop `kernel`. HOP_FAIL has no cause where a rule of the host's may be to blame: *SUSPECT is the hook at which, else
 * HOOK_NONE.
 */
enum hop_status hop_kernel_judge(struct walk *walk, struct hop *hop, const struct hop_kernel_seen *seen,
				 enum ruleset_hook *suspect);

/*
 * The finding over all the ports that were dialed, with its cause, which for want of a better one is a rule of the host's. HOP_FAIL at
 * the first that is broken; the detail names its port, if there are several.
 */
enum hop_status hop_kernel_judge_all(struct walk *walk, struct hop *hop, const struct hop_kernel_seen *seen,
				     size_t count);

/* What was seen of a datagram from the guest's address. */
struct hop_egress_seen {
	uint32_t destination;
	bool to_host;     /* a service of the host itself, which no packet leaves for */
	const char *link; /* by which the host sends it on */
	struct inspect_look_flow inside, outside;
};

/* The finding at hop `egress`, once the datagram was sent. Cause and *SUSPECTS as above: some rule of the host's may be to blame. */
enum hop_status hop_egress_judge(struct walk *walk, struct hop *hop, const struct hop_egress_seen *seen,
				 bool *suspects);

#endif
