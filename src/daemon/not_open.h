/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_NOT_OPEN_H
#define WEFT_DAEMON_NOT_OPEN_H

/*
 * The addresses that weftd is to listen on and cannot: another program holds them, or the host is short of something. They cost
 * no start and no sandbox; reopen.h tries them again each second. Main thread only.
 */

#include "base/addr.h"

#include <jansson.h>
#include <stdbool.h>

struct daemon;
struct err;

/* Before the first opener. 0, or -1 with ERR. */
int daemon_not_open_start(struct daemon *daemon, struct err *err);
void daemon_not_open_stop(struct daemon *daemon);

/* Whether a listener that failed for ERR may open later by itself: a held address, or a shortage. */
bool daemon_not_open_may_pass(const struct err *err);

/* Whether ERR is a shortage, which meets every other listener as well. */
bool daemon_not_open_is_shortage(const struct err *err);

/*
 * LISTEN cannot be opened because of WHY: notes it and looks for the holder. Logs the first time and when the holder or the reason
 * changes. SANDBOX: its endpoint; NULL for weftd's own addresses, of the option WHAT.
 */
void daemon_not_open_add(struct daemon *daemon, const struct addr *listen, enum proto proto, const char *sandbox,
			 const char *what, const struct err *why);

/* The same for PATH, a unix socket of weftd's own. Both texts are kept as they are, not copied. */
void daemon_not_open_add_path(struct daemon *daemon, const char *path, const char *what, const struct err *why);
void daemon_not_open_remove_path(struct daemon *daemon, const char *path);

/* LISTEN is open: if it was noted, logs that it is open again. */
void daemon_not_open_remove(struct daemon *daemon, const struct addr *listen, enum proto proto);

/* Forgets endpoints that nobody wants any more, and allows the next searches for holders. Each second. */
void daemon_not_open_tidy(struct daemon *daemon);

/* How many of the addresses there are not open: those of sandboxes, or weftd's own. Counts 256 of both at most. */
size_t daemon_not_open_count(const struct daemon *daemon, bool of_sandboxes);

/* Who has LISTEN, which is not open: "nginx (pid 812) of uid 33"; "" if that is not known. Valid until the next call of any of these. */
const char *daemon_not_open_holder(const struct daemon *daemon, const struct addr *listen, enum proto proto);

/* The member `not_open` of the status. NULL for want of memory. */
json_t *daemon_not_open_list(struct daemon *daemon);

#endif
