/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_SLOT_HOST_H
#define WEFT_FABRIC_SLOT_HOST_H

#include "kernel/rtnl.h"

#include <stdbool.h>

struct config;
struct err;

enum { HOST_MTU_FALLBACK = 1500 };

/* Makes the host fit to carry sandboxes: directory, forwarding, table, `unreachable` routes. Repeatable. */
int build_host(struct rtnl *host, const struct config *config, struct err *err);

/* The MTU that new links get: the option's, else the uplink's, else HOST_MTU_FALLBACK. 0 and *MTU, or -1 with ERR. */
int build_host_mtu(struct rtnl *host, const struct config *config, unsigned *mtu, struct err *err);

/* The routes that keep addresses without a slot from leaving by the uplink. *ADDED: one was missing. */
int build_host_routes(struct rtnl *host, const struct config *config, bool *added, struct err *err);

/* *REMOVED: how many there were. */
int build_host_routes_remove(struct rtnl *host, const struct config *config, unsigned *removed, struct err *err);

#endif
