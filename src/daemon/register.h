/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_REGISTER_H
#define WEFT_DAEMON_REGISTER_H

struct control_request;

/* PUT of a sandbox; CONTEXT is the daemon. Of type control_serve. */
void daemon_register(void *context, struct control_request *request);

#endif
