/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CONTROL_API_H
#define WEFT_CONTROL_API_H

/*
 * The routes of the API: a request is answered from the registry, waits for a state, becomes a stream of events, or goes to the
 * daemon. Nothing here knows sockets. Main thread only.
 */

#include "control/control.h"
#include "http/gate.h"

struct api;
struct events;
struct waits;

/* Keeps its arguments; OPS is copied. NULL with ERR. */
struct api *control_api_new(struct event_base *base, const struct config *config, struct registry *registry,
			    const struct control_ops *ops, struct err *err);

/*
 * weftd stops: the streams of events get their last line, and the parked requests and those that wait for a state 503, while the
 * clients are still there to hear it. To be followed by control_api_free() alone, but may be called again.
 */
void control_api_stop(struct api *api);
/* The same, where it was not done. */
void control_api_free(struct api *api);

/* Owes REPLY its answer. READ_ONLY: GET and HEAD alone, and the status page. */
void control_api_handle(struct api *api, const struct http_request *asked, bool read_only, struct control_reply *reply);

/* Answers the reads that were parked. */
void control_api_loaded(struct api *api);

/* Runs the changes that were parked. */
void control_api_adopted(struct api *api);

struct waits *control_api_waits(struct api *api);
struct events *control_api_events(struct api *api);

#endif
