/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packets of sandboxes that sleep, and their manager, among the rooms that are not there. */
#include "unit/daemon/fake_rooms.h"

#include <check.h>
#include <stdio.h>

struct wake *wake_new(struct event_base *base, const struct config *config, const struct wake_watcher *watcher,
		      struct err *err)
{
	(void)base;
	(void)config;
	(void)err;
	rooms.watcher = *watcher;
	return (struct wake *)&rooms;
}

void wake_free(struct wake *wake)
{
	(void)wake;
}

void wake_sleep(struct wake *wake, uint32_t host_ip)
{
	(void)wake;
	(void)host_ip;
	rooms.keeps = true;
}

void wake_note_tap(struct wake *wake, uint32_t host_ip, bool open)
{
	(void)wake;
	(void)host_ip;
	ck_assert(rooms.keeps);
	rooms.tap_open = open;
}

void wake_forget_led(struct wake *wake, uint32_t host_ip)
{
	(void)wake;
	(void)host_ip;
}

void wake_awake(struct wake *wake, uint32_t host_ip, bool send_again)
{
	(void)wake;
	(void)host_ip;
	rooms.keeps = false;
	rooms.sent_again = send_again;
}

void wake_tell(struct wake *wake, const char *path, const char *key, const char *body)
{
	(void)wake;
	(void)path;
	(void)key;
	rooms.tells++;
	snprintf(rooms.told, sizeof(rooms.told), "%s", body);
}

void wake_untell(struct wake *wake, const char *key)
{
	(void)wake;
	(void)key;
	rooms.untells++;
}

void wake_redirect(struct wake *wake, const char *path)
{
	(void)wake;
	(void)path;
}

void wake_stats(const struct wake *wake, struct wake_stats *stats)
{
	(void)wake;
	*stats = (struct wake_stats){ 0 };
}
