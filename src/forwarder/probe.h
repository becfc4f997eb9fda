/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_PROBE_H
#define WEFT_FORWARDER_PROBE_H

#include "forwarder/forwarder.h"

/* Lets the probes of ROUTE follow a change: whether its guest may be dialed. Main thread. */
void fwd_probe_route_changed(struct fwd_route *route);

/* ROUTE ends: probes that their owner has not stopped yet dial no more. Main thread. */
void fwd_probe_detach_all(struct fwd_route *route);

#endif
