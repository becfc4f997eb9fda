/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Joins the kernel's log, the copies and the posts. The log is opened when the first address falls asleep, so that a host on which nothing
 * sleeps needs none. Opening it may fail, and is tried again: a group has one reader, and during an upgrade that is weftd's former run until
 * it ends.
 *
 * The kernel's rules bound how many packets come. A burst that got through is read in parts, with the loop's other work in between.
 */
#include "wake/wake.h"

#include "base/backoff.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "config/config.h"
#include "kernel/packet_log.h"
#include "wake/kept.h"
#include "wake/replay.h"
#include "wake/teller.h"

#include <errno.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
	READ_AT_ONCE = 64,
	RETRY_MIN_MS = 100, /* of opening the log */
	RETRY_MAX_MS = 1000,
	RETRIES_UNTOLD = 10, /* a former run may take a few seconds to end */
};

struct wake {
	struct event_base *base;
	const struct config *config;
	struct wake_watcher watcher;
	struct kern_packet_log log;
	struct event *readable; /* NULL while the log is closed */
	struct timer retry;
	unsigned retry_ms, failures; /* in a row */
	struct err log_err;          /* "": it is open, or nobody has needed it */
	struct wake_kept *kept;
	struct timer expiry;
	struct wake_teller *teller;
	int raw_fd; /* -1 until a copy is sent */
	struct wake_stats stats;
};

/* ---- Packets ---- */

static bool wake_is_ignored(const struct config *config, uint32_t source)
{
	const struct cidr4_list *list = &config->wake.ignore;

	for (size_t i = 0; i < list->count; i++)
		if (addr_cidr4_contains(&list->items[i], source))
			return true;
	return false;
}

static void wake_keep(struct wake *wake, const struct wake_packet *packet, const uint8_t *bytes)
{
	uint64_t now_ms = clock_now_ms();
	struct wake_copy *copy = wake_kept_add(wake->kept, packet, bytes, now_ms);

	if (!copy)
		return;
	if (!copy->asked_known)
		wake_replay_ask(copy);
	if (!timer_is_armed(&wake->expiry))
		timer_start(&wake->expiry, WAKE_KEPT_MS);
}

static void wake_take(void *context, const uint8_t *bytes, size_t size)
{
	struct wake *wake = context;
	struct wake_packet packet;

	if (wake_packet_read(bytes, size, &packet) < 0) {
		wake->stats.unreadable++;
		return;
	}
	if (wake_is_ignored(wake->config, packet.source)) {
		wake->stats.ignored++;
		return;
	}
	wake->stats.heard++;
	if (packet.sendable)
		wake_keep(wake, &packet, bytes);
	wake->watcher.heard(wake->watcher.context, &(struct wake_heard){ .host_ip = packet.destination,
									 .source = packet.source,
									 .source_port = packet.source_port,
									 .dest_port = packet.dest_port,
									 .proto = packet.proto });
}

static void wake_on_expiry(void *context)
{
	struct wake *wake = context;
	uint64_t now_ms = clock_now_ms(), next_ms = wake_kept_expire(wake->kept, now_ms);

	if (next_ms)
		timer_start(&wake->expiry, next_ms - now_ms);
}

/* ---- The log ---- */

static void wake_close_log(struct wake *wake)
{
	if (wake->readable)
		event_free(wake->readable);
	wake->readable = NULL;
	kern_packet_log_close(&wake->log);
}

/* Closes the log because of LOG_ERR, and tries again later. */
static void wake_lose_log(struct wake *wake)
{
	wake_close_log(wake);
	if (++wake->failures == RETRIES_UNTOLD)
		log_warning("packets do not wake sandboxes: they cannot be heard", F_STR("error", wake->log_err.text));
	wake->retry_ms = base_backoff_next(wake->retry_ms, RETRY_MIN_MS, RETRY_MAX_MS);
	timer_start(&wake->retry, wake->retry_ms);
}

static void wake_on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct wake *wake = arg;
	struct err err;
	int got = 1;

	(void)fd;
	(void)what;
	for (int i = 0; i < READ_AT_ONCE && got != 0; i++) {
		got = kern_packet_log_read(&wake->log, wake_take, wake, &err);
		if (got < 0 && err_is_shortage(&err)) {
			wake->stats.lost++;
			continue;
		}
		if (got < 0) {
			wake->log_err = err;
			wake_lose_log(wake);
			return;
		}
	}
}

static void wake_open_log(void *context)
{
	struct wake *wake = context;

	if (kern_packet_log_open(&wake->log, KERN_WAKE_GROUP, KERN_WAKE_BYTES, &wake->log_err) < 0) {
		wake_lose_log(wake);
		return;
	}
	wake->readable =
	    event_new(wake->base, kern_packet_log_fd(&wake->log), EV_READ | EV_PERSIST, wake_on_readable, wake);
	if (!wake->readable || event_add(wake->readable, NULL) < 0) {
		err_set(&wake->log_err, ENOMEM, "packet log");
		wake_lose_log(wake);
		return;
	}
	if (wake->failures >= RETRIES_UNTOLD)
		log_info("packets wake sandboxes again");
	wake->retry_ms = wake->failures = 0;
	wake->log_err = (struct err){ 0 };
}

/* ---- Sleep ---- */

void wake_sleep(struct wake *wake, uint32_t host_ip)
{
	char text[IPV4_TEXT_SIZE];

	if (wake_kept_open(wake->kept, host_ip) < 0)
		log_seldom(LOG_WARNING_LEVEL, "packets to a sandbox that is asleep are not kept",
			   F_STR("address", addr_ipv4_format(host_ip, text)), F_STR("error", strerror(ENOMEM)));
	if (!wake->readable && !timer_is_armed(&wake->retry))
		wake_open_log(wake);
}

void wake_note_tap(struct wake *wake, uint32_t host_ip, bool open)
{
	if (!wake_kept_is_news(wake->kept, host_ip, open))
		return;
	/* Of the two, a datagram twice is better than none. */
	if (open && wake->readable)
		wake_on_readable(kern_packet_log_fd(&wake->log), EV_READ, wake);
	wake_kept_note_tap(wake->kept, host_ip, open);
}

void wake_forget_led(struct wake *wake, uint32_t host_ip)
{
	wake_kept_forget_led(wake->kept, host_ip);
}

static void wake_send(void *context, struct wake_copy *copy)
{
	struct wake *wake = context;
	char text[IPV4_TEXT_SIZE];
	struct err err;

	if (copy->reached)
		return;
	if (wake_replay_send(&wake->raw_fd, copy, &err) == 0) {
		wake->stats.sent_again++;
		return;
	}
	wake->stats.not_sent++;
	log_seldom(LOG_INFO_LEVEL, "a packet that woke a sandbox is left to its sender's retry",
		   F_STR("destination", addr_ipv4_format(copy->packet.destination, text)), F_STR("error", err.text));
}

void wake_awake(struct wake *wake, uint32_t host_ip, bool send_again)
{
	/* What is too old is not sent even if its timer is late. */
	wake_kept_expire(wake->kept, clock_now_ms());
	wake_kept_close(wake->kept, host_ip, send_again ? wake_send : NULL, wake);
}

/* ---- The manager ---- */

void wake_tell(struct wake *wake, const char *path, const char *key, const char *body)
{
	wake_teller_tell(wake->teller, path, key, body);
}

void wake_redirect(struct wake *wake, const char *path)
{
	wake_teller_redirect(wake->teller, path);
}

void wake_untell(struct wake *wake, const char *key)
{
	wake_teller_untell(wake->teller, key);
}

void wake_stats(const struct wake *wake, struct wake_stats *stats)
{
	struct wake_teller_counts counts = wake_teller_counts(wake->teller);

	*stats = wake->stats;
	stats->kept = wake_kept_count(wake->kept);
	stats->log_error = wake->log_err.text[0] ? wake->log_err.text : NULL;
	stats->told = counts.told;
	stats->tell_failures = counts.failures;
	stats->telling = counts.telling;
	stats->tell_error = counts.error;
}

/* ---- Life ---- */

struct wake *wake_new(struct event_base *base, const struct config *config, const struct wake_watcher *watcher,
		      struct err *err)
{
	struct wake *wake = calloc(1, sizeof(*wake));

	if (!wake) {
		err_set(err, ENOMEM, "wake");
		return NULL;
	}
	*wake = (struct wake){ .base = base,
			       .config = config,
			       .watcher = *watcher,
			       .log = KERN_PACKET_LOG_CLOSED,
			       .raw_fd = -1,
			       .kept = wake_kept_new() };
	if (!wake->kept) {
		err_set(err, ENOMEM, "wake");
		goto fail;
	}
	wake->teller = wake_teller_new(base, err);
	if (!wake->teller || timer_init(&wake->retry, base, wake_open_log, wake, err) < 0 ||
	    timer_init(&wake->expiry, base, wake_on_expiry, wake, err) < 0)
		goto fail;
	return wake;

fail:
	wake_free(wake);
	return NULL;
}

void wake_free(struct wake *wake)
{
	if (!wake)
		return;
	wake_close_log(wake);
	timer_free(&wake->retry);
	timer_free(&wake->expiry);
	wake_teller_free(wake->teller);
	wake_kept_free(wake->kept);
	cleanup_fd(&wake->raw_fd);
	free(wake);
}
