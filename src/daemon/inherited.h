/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_INHERITED_H
#define WEFT_DAEMON_INHERITED_H

/*
 * The listening sockets and the parcels (fd_parcel.h) of the former run, which the service manager kept meanwhile: no client sees a
 * refused connection, and no stranger gets the port. Sockets are matched by what the kernel says of them, never by a name. Main thread
 * only.
 */

#include "base/addr.h"

#include <stdbool.h>
#include <stddef.h>

struct err;
struct fd_parcel;
struct inherited;

/*
 * Takes them over from the environment (sd_listen_fds(3)). The service manager has them still, until
 * daemon_inherited_forget_former(). NULL where there are none, or no systemd.
 */
struct inherited *daemon_inherited_receive(void);

/* The socket that listens on LISTEN, or on the path PATH, now the caller's; -1: none. INHERITED may be NULL. */
int daemon_inherited_take(struct inherited *inherited, const struct addr *listen, enum proto proto);
int daemon_inherited_take_unix(struct inherited *inherited, const char *path);

/* Whether FD is one of them, taken or not. INHERITED may be NULL. */
bool daemon_inherited_has(const struct inherited *inherited, int fd);

/* FD, which was taken, is closed already. INHERITED may be NULL. */
void daemon_inherited_drop(struct inherited *inherited, int fd);

/* How many there are, taken or not, and the descriptor of one; -1: it is closed already. INHERITED may be NULL. */
size_t daemon_inherited_count(const struct inherited *inherited);
int daemon_inherited_at(const struct inherited *inherited, size_t index);

/* How many of them nobody has taken yet. INHERITED may be NULL. */
size_t daemon_inherited_left(const struct inherited *inherited);

/*
 * One that nobody took, now the caller's, and its protocol (TCP for a unix socket). -1: there is none left, and INHERITED, which
 * may be NULL, forgets those that were taken.
 */
int daemon_inherited_take_any(struct inherited *inherited, enum proto *proto);

/*
 * Unpacks one of the parcels that the former run left, which is then gone from the store, into PARCEL, to be freed by
 * daemon_fd_parcel_free(). 1; 0: there is none left; -1 with ERR: one is gone that could not be unpacked. INHERITED may be NULL.
 */
int daemon_inherited_take_parcel(struct inherited *inherited, struct fd_parcel *parcel, struct err *err);

/* Closes what came with the parcels that were taken, and takes long to close. INHERITED may be NULL. */
void daemon_inherited_drop_burdens(struct inherited *inherited);

/* Writes a name into NAME under which the former run has stored nothing. INHERITED may be NULL. */
void daemon_inherited_choose_name(const struct inherited *inherited, char *name, size_t size);

/* Gives up all that the former run has in the service manager's store but parcels. INHERITED may be NULL. */
void daemon_inherited_forget_former(struct inherited *inherited);

/* Closes our copies of those that nobody took. What the service manager has stays there. */
void daemon_inherited_free(struct inherited *inherited);

#endif
