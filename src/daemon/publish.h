/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_PUBLISH_H
#define WEFT_DAEMON_PUBLISH_H

/*
 * The sandboxes in the catalogue, src/catalog/: each has one entry, under its name or else its id, from the moment its registration is
 * accepted until it is unregistered. All of this does nothing without [catalog] redis.
 */

#include "catalog/catalog.h"

#include <jansson.h>
#include <stdbool.h>

struct daemon;
struct err;
struct tenant;

/* 0, or -1 with ERR. */
int daemon_publish_start(struct daemon *daemon, struct err *err);
void daemon_publish_stop(struct daemon *daemon);

/* TENANT's sandbox starts, or was there before (CATALOG_KEEP). Where it has another name by now, the entry of the former one goes. */
void daemon_publish(struct tenant *tenant, enum catalog_claim claim);

/* It is to be found no more. */
void daemon_publish_end(struct tenant *tenant);

/* The member `catalog` of the status; null where nothing is published. NULL for want of memory. */
json_t *daemon_publish_describe(const struct daemon *daemon);

void daemon_publish_reload(struct daemon *daemon);

#endif
