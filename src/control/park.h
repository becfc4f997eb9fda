/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CONTROL_PARK_H
#define WEFT_CONTROL_PARK_H

/*
 * Requests that cannot be served yet wait here, each with the function that is to go on with it. Parking needs no memory and
 * cannot fail. Main thread only.
 */

#include "control/request.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ctl_park {
	struct ctl_request_list requests; /* in the order of their arrival */
	size_t count;
	uint64_t last_ticket;
	const char *left; /* see ctl_park_init() */
};

/*
 * LEFT: a request whose client goes away is dropped, which the log shows as refused for this reason; kept by reference. NULL: it
 * is served all the same.
 */
void ctl_park_init(struct ctl_park *park, const char *left);

/* Takes REQUEST over; RUN gets it when its time has come. */
void ctl_park_add(struct ctl_park *park, struct ctl_request *request, ctl_serve *run, void *context);

/*
 * Goes on with the requests for the sandbox ID, with those that change nothing, with all. In the order of their arrival; a
 * request that is parked anew meanwhile stays.
 */
void ctl_park_run_sandbox(struct ctl_park *park, const char *id);
void ctl_park_run_reads(struct ctl_park *park);
void ctl_park_run_all(struct ctl_park *park);

/* Answers all with 503 and DETAIL. */
void ctl_park_refuse_all(struct ctl_park *park, const char *detail);

#endif
