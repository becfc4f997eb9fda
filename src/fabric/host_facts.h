/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_HOST_FACTS_H
#define WEFT_FABRIC_HOST_FACTS_H

/* What the fabric relies on of the host, and others may change while it runs: the uplink with its MTU, and forwarding. Main thread. */

struct err;
struct fabric;
struct host_facts;

/* Looks at them from now on, and tells the watcher's `host` of changes. The fabric's threads must run. NULL with ERR. */
struct host_facts *fabric_host_facts_new(struct fabric *fabric, struct err *err);

/* FACTS may be NULL. No look may be under way. */
void fabric_host_facts_free(struct host_facts *facts);

/* To be called each second. */
void fabric_host_facts_tick(struct host_facts *facts);

#endif
