/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Joins the log, the copies and the posts. So far it only stands there. */
#include "wake/wake.h"

#include "base/err.h"

#include <errno.h>
#include <stdlib.h>

struct wake {
	struct wake_watcher watcher;
	const struct config *config;
	struct event_base *base;
};

struct wake *wake_new(struct event_base *base, const struct config *config, const struct wake_watcher *watcher,
		      struct err *err)
{
	struct wake *wake = calloc(1, sizeof(*wake));

	if (!wake) {
		err_set(err, ENOMEM, "wake");
		return NULL;
	}
	*wake = (struct wake){ .watcher = *watcher, .config = config, .base = base };
	return wake;
}

void wake_free(struct wake *wake)
{
	free(wake);
}

void wake_sleep(struct wake *wake, uint32_t host_ip)
{
	(void)wake;
	(void)host_ip;
}

void wake_awake(struct wake *wake, uint32_t host_ip, bool send_again)
{
	(void)wake;
	(void)host_ip;
	(void)send_again;
}

void wake_tell(struct wake *wake, const char *path, const char *key, const char *body)
{
	(void)wake;
	(void)path;
	(void)key;
	(void)body;
}

void wake_untell(struct wake *wake, const char *key)
{
	(void)wake;
	(void)key;
}

void wake_stats(const struct wake *wake, struct wake_stats *stats)
{
	(void)wake;
	*stats = (struct wake_stats){ 0 };
}
