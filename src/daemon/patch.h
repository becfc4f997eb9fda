/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_PATCH_H
#define WEFT_DAEMON_PATCH_H

struct ctl_request;

/* PATCH of a sandbox; CONTEXT is the daemon. Of type ctl_serve. */
void daemon_patch(void *context, struct ctl_request *request);

#endif
