/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_FILE_WATCH_H
#define WEFT_DAEMON_FILE_WATCH_H

/*
 * Tells when somebody deletes, moves or replaces files of ours, by inotify(7). It is a hint: mounts are not seen, and a host that
 * has no inotify instance left for us goes without. Main thread only.
 */

struct event_base;
struct file_watch;

/*
 * CHANGED is called for each event with the name of the file in its folder, "" where there is none, and NULL when events were lost.
 * NULL: the host has no room for it.
 */
struct file_watch *daemon_watch_new(struct event_base *base, void (*changed)(void *context, const char *name),
				    void *context);
void daemon_watch_free(struct file_watch *watch);

/* Watches the folder of the file PATH, and the folder above that one. Again after each change, for they may be new. WATCH: may be NULL. */
void daemon_watch_follow(struct file_watch *watch, const char *path);

#endif
