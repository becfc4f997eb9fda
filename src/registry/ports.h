/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_REGISTRY_PORTS_H
#define WEFT_REGISTRY_PORTS_H

/*
 * The holders of listening addresses, and the ports that are free for automatic use. For the files of the registry alone. Main
 * thread.
 */

#include "registry/spec.h"

#include <stdbool.h>
#include <stdint.h>

struct registry_ports;
struct sandbox;

/* Automatic ports come from FIRST to LAST. NULL only for lack of memory. */
struct registry_ports *registry_ports_new(uint16_t first, uint16_t last);
void registry_ports_free(struct registry_ports *ports);

/* The holder that excludes an address. */
struct port_holder {
	struct sandbox *sandbox; /* NULL: weftd itself, see NAME */
	const char *name;        /* "the default endpoint"; NULL for a sandbox */
	struct addr addr;        /* differs from the address asked for where either is a wildcard */
};

/*
 * Holds ADDR for SANDBOX, or for weftd itself if SANDBOX is NULL; NAME then names its purpose and must outlive PORTS. 0; 1 with
 * HOLDER if the address is excluded; -1 for lack of memory.
 */
int registry_ports_hold(struct registry_ports *ports, enum proto proto, const struct addr *addr,
			struct sandbox *sandbox, const char *name, struct port_holder *holder);

/* The address must be held. */
void registry_ports_release(struct registry_ports *ports, enum proto proto, const struct addr *addr);

/* The lowest port of the range that is free on 127.0.0.1 and ::1 and not avoided; 0: none. */
uint16_t registry_ports_lowest_free(struct registry_ports *ports, enum proto proto);

/* How many ports of the range are held, and how many avoided, for the message that none is free. */
void registry_ports_usage(struct registry_ports *ports, enum proto proto, unsigned *held, unsigned *avoided);

/* Keeps PORT from automatic use for the next minute: another program has it. */
void registry_ports_avoid(struct registry_ports *ports, uint16_t port);

#endif
