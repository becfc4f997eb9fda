/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_REGISTER_H
#define WEFT_DAEMON_REGISTER_H

struct ctl_request;

/* PUT of a sandbox; CONTEXT is the daemon. Of type ctl_serve. */
void daemon_register(void *context, struct ctl_request *request);

#endif
