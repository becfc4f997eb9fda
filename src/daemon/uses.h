/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_USES_H
#define WEFT_DAEMON_USES_H

#include <jansson.h>

/* What weftd was started with and goes by, which a changed file does not tell. */

struct daemon;

/* The member "uses" of the status. NULL for want of memory. */
json_t *daemon_uses_describe(const struct daemon *daemon);

#endif
