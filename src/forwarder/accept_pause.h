/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_ACCEPT_PAUSE_H
#define WEFT_FORWARDER_ACCEPT_PAUSE_H

/* The pause of all accepting while no descriptors are left. Main thread. */

#include "base/log.h"
#include "base/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct err;
struct forwarder;

struct accept_pause {
	struct timer look; /* the next look whether descriptors are free again */
	uint64_t count;    /* pauses so far */
	bool for_ever;     /* accepting is not resumed */
};

/* Makes FORWARDER ready for fwd_admission_pause(). 0, or -1 with ERR (ENOMEM); fwd_accept_pause_free() is owed in any case. */
int fwd_accept_pause_init(struct forwarder *forwarder, struct err *err);
void fwd_accept_pause_free(struct forwarder *forwarder);

/* Stops accepting for good. */
void fwd_accept_pause_for_ever(struct forwarder *forwarder);

#endif
