/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_HOST_ROUTES_H
#define WEFT_FABRIC_HOST_ROUTES_H

/* The routes of the host that cover the ranges. Main thread. */

struct fabric;

/* Has them looked at and put back. What was done, or cannot be, is reported as a repair or a trouble of the host. */
void fabric_host_routes_look(struct fabric *fabric);

#endif
