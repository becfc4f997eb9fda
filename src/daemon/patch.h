/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_PATCH_H
#define WEFT_DAEMON_PATCH_H

struct control_request;

/* PATCH of a sandbox; CONTEXT is the daemon. Of type control_serve. */
void daemon_patch(void *context, struct control_request *request);

#endif
