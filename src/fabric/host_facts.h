/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_HOST_FACTS_H
#define WEFT_FABRIC_HOST_FACTS_H

/* What the fabric relies on of the host, and others may change while it runs: the uplink with its MTU, and forwarding. Main thread. */

struct err;
struct fabric;
struct host_facts;

/* Looks at them from now on; the fabric's threads must run. NULL with ERR. */
struct host_facts *fabric_host_facts_new(struct fabric *fabric, struct err *err);
void fabric_host_facts_free(struct host_facts *facts);

/* A second has passed. */
void fabric_host_facts_tick(struct host_facts *facts);

#endif
