/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_PROBE_H
#define WEFT_FORWARDER_PROBE_H

#include "forwarder/forwarder.h"

/* Whether the guest may be dialed has changed: the probes of ROUTE begin, or stop, dialing. Main thread. */
void fwd_probe_route_changed(struct fwd_route *route);

/* ROUTE ends: what its owner has not stopped yet dials no more. Main thread. */
void fwd_probe_detach_all(struct fwd_route *route);

#endif
