/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_KERNEL_NAMESPACE_H
#define WEFT_KERNEL_NAMESPACE_H

/*
 * Network namespaces and their names in the file system, as `ip netns` has them. The caller's own namespace changes for the
 * duration of a call at most. Any thread.
 */

#include "kernel/rtnl.h"

#include <stdbool.h>
#include <sys/types.h>

struct err;

/* Identifies a namespace while it lives. */
struct kern_namespace_key {
	dev_t device;
	ino_t inode; /* 0: none */
};

/* The kinds of files in the namespaces' directory. */
enum kern_namespace_file {
	NAMESPACE_FILE_NONE,      /* nothing there */
	NAMESPACE_FILE_NAMESPACE, /* a network namespace is bound there */
	NAMESPACE_FILE_HALF_MADE, /* a mount point of weft's with nothing mounted on it, not yet or no longer */
	NAMESPACE_FILE_OTHER,     /* somebody else's file */
};

/* Makes DIRECTORY a shared mount of its own, as `ip netns` does. Harmless if it is one already. */
int kern_namespace_prepare_directory(const char *directory, struct err *err);

/*
 * Makes a new namespace and returns its descriptor, the caller's to close; nothing is bound anywhere. Its defaults keep IPv6
 * off every link made later, and its TCP settings suit the dialing of guests.
 */
int kern_namespace_make(struct err *err);

/* Whether an existing namespace has those TCP settings. 0 and *TUNED, or -1 with ERR. */
int kern_namespace_is_tuned(int netns_fd, bool *tuned, struct err *err);

/* Gives them to it. 0, or -1 with ERR. */
int kern_namespace_tune(int netns_fd, struct err *err);

/* Gives the namespace its name. Never over a file that is there: EEXIST. Undone on failure. */
int kern_namespace_bind(const char *path, int netns_fd, struct err *err);

/* Takes the name away; the namespace goes when nothing else holds it. No such file is no error. */
int kern_namespace_unbind(const char *path, struct err *err);

/* 0 and *KIND; or -1 with ERR if it could not be found out, which says nothing about the file. */
int kern_namespace_file_kind(const char *path, enum kern_namespace_file *kind, struct err *err);

/*
 * Opens the namespace bound at PATH: the caller's to close. -1 with ERR: ENOENT, ELOOP where it is a link, EINVAL where it is proven
 * to be no network namespace; all other codes say nothing about the file.
 */
int kern_namespace_open(const char *path, struct err *err);

/* The key of an open namespace; a zero inode if FD is none, or that cannot be found out. */
struct kern_namespace_key kern_namespace_key_of(int fd);

/* The same for an FD that is a namespace. 0, or -1 with ERR. */
int kern_namespace_key_read(int fd, struct kern_namespace_key *key, struct err *err);

bool kern_namespace_key_equal(const struct kern_namespace_key *a, const struct kern_namespace_key *b);

/* As kern_namespace_open(), if the namespace is that of KEY; ESTALE: another is proven to be there. */
int kern_namespace_open_known(const char *path, const struct kern_namespace_key *key, struct err *err);

/*
 * The number by which the host's kernel speaks of the namespace, if it has one: else *NSID is negative. 0, or -1 with ERR.
 */
int kern_namespace_known_id(struct kern_rtnl *host, int netns_fd, int *nsid, struct err *err);

/*
 * The number by which the host's kernel speaks of the namespace in netlink messages; it is given one if it has none. 0 and
 * *NSID, or -1 with ERR.
 */
int kern_namespace_id(struct kern_rtnl *host, int netns_fd, int *nsid, struct err *err);

/* Numbers that kern_namespace_id_new() gives lie between these; those that the kernel gives by itself begin at 0. */
enum { NAMESPACE_ID_MIN = 1 << 16, NAMESPACE_ID_MAX = 1 << 20 };

/* The same for a namespace that was just made. Its number is lower than those of all others made here, so it is found quickly. */
int kern_namespace_id_new(struct kern_rtnl *host, int netns_fd, int *nsid, struct err *err);

/* Notes that a former run gave NSID. */
void kern_namespace_id_seen(int nsid);

#endif
