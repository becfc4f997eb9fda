/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A watch belongs to an inode, so a folder that took another's place needs a watch of its own; that of a deleted one goes by
 * itself, and adding the same twice changes nothing. Files that are written and renamed into place, which is most of what happens in
 * the state directory, make no event.
 */
#include "daemon/file_watch.h"

#include "base/cleanup.h"
#include "base/folder.h"
#include "base/log.h"

#include <errno.h>
#include <event2/event.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

enum {
	GONE = IN_DELETE | IN_DELETE_SELF | IN_MOVED_FROM | IN_MOVE_SELF | IN_ATTRIB,
	READS_AT_ONCE = 16,
};

struct file_watch {
	int fd;
	struct event *event;
	void (*changed)(void *context, const char *name);
	void *context;
};

static void daemon_watch_pass_on(struct file_watch *watch, const char *buffer, size_t length)
{
	struct inotify_event event;

	for (size_t at = 0; at + sizeof(event) <= length; at += sizeof(event) + event.len) {
		memcpy(&event, buffer + at, sizeof(event));
		if (event.mask & IN_Q_OVERFLOW)
			watch->changed(watch->context, NULL);
		else
			watch->changed(watch->context, event.len ? buffer + at + sizeof(event) : "");
	}
}

static void daemon_watch_on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct file_watch *watch = arg;
	char buffer[16 * (sizeof(struct inotify_event) + NAME_MAX + 1)];

	(void)what;
	for (int reads = 0; reads < READS_AT_ONCE; reads++) {
		ssize_t length = read(fd, buffer, sizeof(buffer));

		if (length <= 0)
			return;
		daemon_watch_pass_on(watch, buffer, (size_t)length);
	}
}

struct file_watch *daemon_watch_new(struct event_base *base, void (*changed)(void *context, const char *name),
				    void *context)
{
	struct file_watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return NULL;
	watch->changed = changed;
	watch->context = context;
	watch->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (watch->fd >= 0)
		watch->event = event_new(base, watch->fd, EV_READ | EV_PERSIST, daemon_watch_on_readable, watch);
	if (watch->event && event_add(watch->event, NULL) == 0)
		return watch;
	log_warning("no inotify: deleted files of weft are noticed some seconds later",
		    F_STR("error", strerror(errno)));
	daemon_watch_free(watch);
	return NULL;
}

void daemon_watch_free(struct file_watch *watch)
{
	if (!watch)
		return;
	if (watch->event)
		event_free(watch->event);
	cleanup_fd(&watch->fd);
	free(watch);
}

void daemon_watch_follow(struct file_watch *watch, const char *path)
{
	AUTO_FREE char *folder = watch ? base_folder_above(path) : NULL;
	AUTO_FREE char *above = folder ? base_folder_above(folder) : NULL;

	if (!above)
		return;
	inotify_add_watch(watch->fd, folder, GONE | IN_ONLYDIR | IN_MASK_ADD);
	inotify_add_watch(watch->fd, above, GONE | IN_ONLYDIR | IN_MASK_ADD);
}
