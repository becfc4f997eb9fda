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

struct control_park {
	struct control_request_list requests; /* in the order of their arrival */
	size_t count;
	bool running;     /* a loop goes through those that are due */
	const char *left; /* see control_park_init() */
};

/*
 * LEFT: a request whose client goes away is dropped, which the log shows as refused for this reason; kept by reference. NULL: it
 * is served all the same.
 */
void control_park_init(struct control_park *park, const char *left);

/* Takes REQUEST over; RUN gets it when its time has come. */
void control_park_add(struct control_park *park, struct control_request *request, control_serve *run, void *context);

/*
 * Goes on with the requests for the sandbox ID, with those that change nothing, with all. In the order of their arrival; a
 * request that is parked anew meanwhile stays. Called by a request that goes on itself, it returns first: they follow that one.
 */
void control_park_run_sandbox(struct control_park *park, const char *id);
void control_park_run_reads(struct control_park *park);
void control_park_run_all(struct control_park *park);

/* weftd stops, which DETAIL tells: answers all with 503 and when to ask again. */
void control_park_refuse_all(struct control_park *park, const char *detail);

#endif
