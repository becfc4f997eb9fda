/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_KERNEL_BPF_H
#define WEFT_KERNEL_BPF_H

/*
 * Clients of the host's loopback addresses are led straight to a guest: programs of a cgroup rewrite the destination of connect() and
 * of datagrams, for the addresses that have an entry. They take effect in weftd's own network namespace, and only while the lease
 * runs. Maps and programs are pinned in a bpffs, so that a killed daemon's entries serve on until the lease ends, and its successor
 * takes all of it over without a gap. The main thread, unless said otherwise.
 *
 * Without BPF in the build all of this exists, and opening fails.
 */

#include "base/addr.h"

#include <stdbool.h>
#include <stdint.h>

struct err;

/* Programs attached to one cgroup, and their maps. */
struct kern_loopback;

enum { KERN_LOOPBACK_PATH_SIZE = 4096 };

/* Where the daemon of LINK_GROUP pins what it has, in the bpffs that hosts mount. Any thread. */
char *kern_loopback_pins(uint32_t link_group, char path[static KERN_LOOPBACK_PATH_SIZE]);

/*
 * The mount of cgroup2 that this mount namespace has, from /proc/self/mountinfo: /sys/fs/cgroup as a rule. PATH; NULL: there is none.
 * Any thread.
 */
const char *kern_loopback_find_cgroup(char path[static KERN_LOOPBACK_PATH_SIZE]);

/* Whether the build has it: else the text of kern_loopback_open()'s error says so. */
bool kern_loopback_is_built(void);

/*
 * CGROUP: a folder of a cgroup2 mount, whose processes are concerned, with those of all below it. PINS: a folder in a bpffs, made if
 * need be, for one process at a time (EBUSY). What a former run pinned there is taken over: its programs are replaced in place, its
 * entries are kept, unless they are for another network namespace or of another layout. NULL with ERR: nothing is attached or pinned
 * then, of a former run neither, except with EBUSY. ENOSYS: the build has no BPF.
 *
 * Nothing is led astray by entries before the first kern_loopback_renew(), unless a former run's lease still holds.
 */
struct kern_loopback *kern_loopback_open(const char *cgroup, const char *pins, struct err *err);

/* Whether all programs are attached still. 0, or -1 with ERR, which names the first that is not: open again. */
int kern_loopback_check(const struct kern_loopback *loopback, struct err *err);

/* Whether clients of ::1 and of addresses mapped to IPv6 are led, too. Else WHY, which may be NULL, is the reason. */
bool kern_loopback_has_ipv6(const struct kern_loopback *loopback, const char **why);

struct kern_loopback_entry {
	struct addr listen; /* of 127.0.0.0/8, or ::1; the port too */
	enum proto proto;
	uint32_t host_ip;    /* host order */
	uint16_t guest_port; /* host order */
	uint64_t hits;       /* connections, or flows of datagrams, since the entry was put */
};

/* Makes the entry, or replaces the one of the same listen address; hits start at 0. 0, or -1 with ERR (E2BIG: there is no room). */
int kern_loopback_put(struct kern_loopback *loopback, const struct kern_loopback_entry *entry, struct err *err);

/* Deletes the entry. *HITS: what it had, 0 if there was none, which is no error. 0, or -1 with ERR. */
int kern_loopback_take(struct kern_loopback *loopback, const struct addr *listen, enum proto proto, uint64_t *hits,
		       struct err *err);

/* Calls FOUND for each entry, all of which are read before: FOUND may put and take. 0, or -1 with ERR. */
int kern_loopback_each(struct kern_loopback *loopback,
		       void (*found)(void *context, const struct kern_loopback_entry *entry), void *context,
		       struct err *err);

/* Entries count until then, in nanoseconds of CLOCK_MONOTONIC; 0: no longer. 0, or -1 with ERR. */
int kern_loopback_renew(struct kern_loopback *loopback, uint64_t until_ns, struct err *err);

/*
 * A map that tells what each socket had asked for: kern_sock_filter.origins. It is LOOPBACK's; another thread uses a duplicate
 * of its own.
 */
int kern_loopback_origins(const struct kern_loopback *loopback);

/*
 * Detaches the programs, and removes pins and entries, unless KEEP_PINS, which stands for a crash. Sockets that were led stay as they
 * are. Harmless on NULL.
 */
void kern_loopback_close(struct kern_loopback *loopback, bool keep_pins);

/*
 * Removes what a former run pinned at PINS, and so detaches its programs, without need of BPF in the build. *FOUND: there was
 * something. 0, or -1 with ERR (EBUSY: a process has it open). Any thread.
 */
int kern_loopback_remove(const char *pins, bool *found, struct err *err);

#endif
