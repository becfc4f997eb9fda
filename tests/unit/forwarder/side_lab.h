/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_TESTS_UNIT_FORWARDER_SIDE_LAB_H
#define WEFT_TESTS_UNIT_FORWARDER_SIDE_LAB_H

/* One worker without a thread, with two routes and a side of each: enough for a connection's states and for the counters. */

#include "forwarder/connection.h"
#include "forwarder/core.h"
#include "forwarder/route.h"
#include "forwarder/worker.h"

struct side_lab {
	struct forwarder forwarder;
	struct worker worker;
	struct worker *workers[1];
	struct fwd_route *routes[2];
	struct route_side *side, *other; /* of routes[0] and routes[1] */
};

/* Time is 1,000,000 ms. */
void side_lab_open(struct side_lab *lab);
void side_lab_close(struct side_lab *lab);

#endif
