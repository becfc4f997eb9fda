/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_HTTP_ENDPOINT_H
#define WEFT_DAEMON_HTTP_ENDPOINT_H

/* The addresses of [http] listen. */

struct daemon;
struct err;

/*
 * Opens them, where there are any. An address that another program holds, or that a shortage keeps closed, is left for
 * daemon_http_retry(). 0, or -1 with ERR for another fault.
 */
int daemon_http_open(struct daemon *daemon, struct err *err);

/* Tries those again that are not open. */
void daemon_http_retry(struct daemon *daemon);

/* Closes them. Before the control socket. */
void daemon_http_close(struct daemon *daemon);

#endif
