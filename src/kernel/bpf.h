/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_KERNEL_BPF_H
#define WEFT_KERNEL_BPF_H

/*
 * Leads clients of the host's loopback addresses straight to a guest: programs of a cgroup rewrite the destination of connect() and of
 * datagrams, for each address that has an entry in their map. They do so in weftd's own network namespace alone, and only while the
 * lease runs. Maps and programs are pinned in a bpffs: the entries of a killed daemon serve on until the lease ends, and the next
 * one finds them. The main thread, unless said otherwise.
 *
 * A build without BPF has all these functions, and kern_loopback_open() fails.
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

/* Whether the build has BPF. If not, the error of kern_loopback_open() says so. */
bool kern_loopback_is_built(void);

/*
 * CGROUP: a folder of a cgroup2 mount; clients are led if they are in that cgroup or in one below it. PINS: a folder in a bpffs, made if
 * need be. The pins of a former run there are taken over: its programs are replaced in place, and its entries are kept, unless they are
 * for another network namespace or of another layout.
 *
 * NULL with ERR: nothing is attached or pinned then, nothing of a former run either. Only with EBUSY, when another process has PINS open,
 * all of that stays. ENOSYS: the build has no BPF.
 *
 * No entry counts before the first kern_loopback_renew(), unless the lease of a former run still holds.
 */
struct kern_loopback *kern_loopback_open(const char *cgroup, const char *pins, struct err *err);

/* 0 if all programs are attached still. Else -1 with ERR, which names the first that is not: close it and open it anew. */
int kern_loopback_check(const struct kern_loopback *loopback, struct err *err);

/* Whether clients with sockets of IPv6 are led, too. If not, *WHY is the reason; WHY may be NULL. */
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

/* Sets the end of the lease, in nanoseconds of CLOCK_MONOTONIC: no entry counts after it. 0 ends it now. 0, or -1 with ERR. */
int kern_loopback_renew(struct kern_loopback *loopback, uint64_t until_ns, struct err *err);

/*
 * The map of which address each led socket had asked for, as kern_sock_filter.origins takes it. The descriptor stays LOOPBACK's, so another
 * thread uses a duplicate of its own.
 */
int kern_loopback_origins(const struct kern_loopback *loopback);

/*
 * Detaches the programs, and removes pins and entries. KEEP_PINS leaves all of these to the next kern_loopback_open(), as a crash would.
 * Sockets that were led stay as they are. Harmless on NULL.
 */
void kern_loopback_close(struct kern_loopback *loopback, bool keep_pins);

/*
 * Detaches the programs of a former run and removes its pins at PINS; a build without BPF can do that too. *FOUND: there were some.
 * 0, or -1 with ERR (EBUSY: a process has PINS open). Any thread.
 */
int kern_loopback_remove(const char *pins, bool *found, struct err *err);

#endif
