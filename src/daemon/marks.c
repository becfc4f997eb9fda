/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A live slot keeps the names and addresses that it was made with. So after a change of [names] or [addresses] the host has slots of
 * several layouts, and all that covers slots must cover these until the last one has gone.
 *
 * marks.json says which there are. Without it the state files do, and without these the kernel: veths that carry the id of a sandbox.
 */
#include "daemon/marks.h"

#include "base/err.h"
#include "base/log.h"
#include "config/layouts.h"
#include "daemon/daemon.h"
#include "daemon/follow.h"
#include "fabric/fabric.h"
#include "registry/registry.h"
#include "store/store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *daemon_marks_describe(const struct config_layout *layout, char *text, size_t size)
{
	char host[CIDR4_TEXT_SIZE], veth[CIDR4_TEXT_SIZE];

	snprintf(text, size, "%s/%sN, %sN, group %u, %s, %s", layout->netns_dir, layout->netns_prefix,
		 layout->veth_prefix, layout->link_group, addr_cidr4_format(&layout->host_cidr, host),
		 addr_cidr4_format(&layout->veth_cidr, veth));
	return text;
}

/* ---- Ranges that overlap ---- */

struct marks_range {
	const char *key;
	const struct cidr4 *cidr;
};

/* Two ranges, the configuration's and a former one's, of which the same address could be given to two slots. */
struct marks_clash {
	const struct config_layout *former;
	struct marks_range now, then;
};

static void daemon_marks_ranges(const struct config_layout *layout, struct marks_range ranges[static 2])
{
	ranges[0] = (struct marks_range){ "host_cidr", &layout->host_cidr };
	ranges[1] = (struct marks_range){ "veth_cidr", &layout->veth_cidr };
}

/* A slot's number is one for all layouts: it has the same address in a range of the same kind that begins at the same address. */
static bool daemon_marks_ranges_clash(const struct marks_range *now, const struct marks_range *then)
{
	return addr_cidr4_overlaps(now->cidr, then->cidr) &&
	       (now->key != then->key || !addr_cidr4_equal(now->cidr, then->cidr));
}

static bool daemon_marks_clash(const struct config *config, const struct config_layout *former,
			       struct marks_clash *clash)
{
	struct marks_range now[2], then[2];

	daemon_marks_ranges(&config->layout, now);
	daemon_marks_ranges(former, then);
	for (size_t i = 0; i < 4; i++) {
		*clash = (struct marks_clash){ former, now[i / 2], then[i % 2] };
		if (daemon_marks_ranges_clash(&clash->now, &clash->then))
			return true;
	}
	return false;
}

struct marks_live {
	const struct config_layout *layout;
	char user[SANDBOX_ID_MAX + 32];
};

static void daemon_marks_take_live(void *context, const struct fabric_found *found)
{
	struct marks_live *live = context;

	if (found->layout == live->layout && !live->user[0])
		snprintf(live->user, sizeof(live->user), "a VM on slot %u", found->slot);
}

/* Names a sandbox or VM that has LAYOUT; "": there is none. 0, or -1 with ERR. */
static int daemon_marks_find_user(const struct config *config, const struct store_contents *contents,
				  struct marks_live *live, struct err *err)
{
	for (size_t i = 0; i < contents->count; i++) {
		const struct stored *stored = &contents->items[i];

		if (stored->layout == live->layout && !live->user[0])
			snprintf(live->user, sizeof(live->user), "sandbox %s (slot %u)", stored->id, stored->slot);
	}
	return live->user[0] ? 0 : fabric_list_live(config, daemon_marks_take_live, live, err);
}

static int daemon_marks_refuse_clash(const struct config *config, const struct store_contents *contents,
				     const struct marks_clash *clash, struct err *err)
{
	struct marks_live live = { .layout = clash->former };
	char now[CIDR4_TEXT_SIZE], then[CIDR4_TEXT_SIZE];

	if (daemon_marks_find_user(config, contents, &live, err) < 0)
		return -1;
	if (!live.user[0])
		return 0;
	return err_set(
	    err, 0,
	    "[addresses] %s = %s: overlaps %s %s, which %s has still; allowed: a range apart from it, until all "
	    "such sandboxes are gone",
	    clash->now.key, addr_cidr4_format(clash->now.cidr, now), clash->then.key,
	    addr_cidr4_format(clash->then.cidr, then), live.user);
}

/* ---- Finding ---- */

static int daemon_marks_check(const struct config *config, const struct store_contents *contents, struct err *err)
{
	const struct config_layout *layout;
	struct marks_clash clash;

	for (size_t at = 1; (layout = config_layout_next(config, &at));) {
		if (daemon_marks_clash(config, layout, &clash) &&
		    daemon_marks_refuse_clash(config, contents, &clash, err) < 0)
			return -1;
	}
	return 0;
}

/* *FOUND: marks.json told all layouts. A damaged or missing one is no error. */
static int daemon_marks_load(struct store *store, bool *found, struct err *err)
{
	*found = store_marks_load(store, err) == 0;
	if (*found || err->code == ENOENT)
		return 0;
	if (err->code != EBADMSG)
		return -1;
	log_warning("marks.json not readable; the state files and the kernel tell as much", F_STR("error", err->text));
	return 0;
}

int daemon_marks_find(const struct config *config, struct store *store, struct err *err)
{
	struct store_contents contents = { 0 };
	bool found;
	int result;

	if (daemon_marks_load(store, &found, err) < 0)
		return -1;
	if (found && !config_layout_has_earlier(config))
		return 0;
	if (store_load(store, &contents, err) < 0)
		return -1;
	result = found ? 0 : fabric_find_layouts(config, err);
	if (result == 0)
		result = daemon_marks_check(config, &contents, err);
	store_contents_clear(&contents);
	return result;
}

int daemon_marks_count(const struct config *config, struct store *store, char *text, size_t size, struct err *err)
{
	struct store_contents contents;
	int count = 0;

	if (store_load(store, &contents, err) < 0)
		return -1;
	for (size_t i = 0; i < contents.count; i++) {
		const struct config_layout *layout = contents.items[i].layout;

		if (!layout || layout == &config->layout)
			continue;
		daemon_marks_describe(layout, text, size);
		count++;
	}
	store_contents_clear(&contents);
	return count;
}

/* ---- A daemon that runs ---- */

static void daemon_marks_save(struct daemon *daemon)
{
	struct err err;

	if (store_marks_save(daemon->store, &err) < 0)
		log_seldom(LOG_ERROR_LEVEL, "marks.json not written; trying again", F_STR("error", err.text));
}

void daemon_marks_write(struct daemon *daemon)
{
	/* Nothing to write must not need a disk with room. */
	if (!store_marks_are_current(daemon->store))
		daemon_marks_save(daemon);
}

/* How many sandboxes have LAYOUT. */
static unsigned daemon_marks_sandboxes(const struct daemon *daemon, const struct config_layout *layout)
{
	const struct sandbox *sandbox;
	unsigned count = 0;

	for (unsigned slot = 0; (sandbox = registry_next(daemon->registry, slot)); slot = sandbox->slot)
		count += sandbox->layout == layout;
	return count;
}

void daemon_marks_tell(struct daemon *daemon)
{
	const struct config_layout *layout;
	char now[256], then[256];

	for (size_t at = 1; (layout = config_layout_next(daemon->config, &at));) {
		unsigned count = daemon_marks_sandboxes(daemon, layout);

		if (count)
			log_info("[names] or [addresses] changed: sandboxes keep those that they were made with",
				 F_UINT("sandboxes", count),
				 F_STR("theirs", daemon_marks_describe(layout, then, sizeof(then))),
				 F_STR("new", daemon_marks_describe(&daemon->config->layout, now, sizeof(now))));
	}
}

static void daemon_marks_on_dropped(void *context, const struct err *err)
{
	struct daemon *daemon = context;
	char text[256];

	if (err && err->code != ECANCELED)
		log_seldom(LOG_ERROR_LEVEL, "rules and routes of a former layout not removed; trying again",
			   F_STR("error", err->text));
	if (err) {
		/* It is in use as long as its rules are there. */
		config_layout_add(daemon->config, daemon->dropping);
	} else {
		log_info("no slot is left of a former layout; its rules and routes are gone",
			 F_STR("layout", daemon_marks_describe(daemon->dropping, text, sizeof(text))));
		daemon_marks_save(daemon);
	}
	daemon->dropping = NULL;
}

void daemon_marks_settle(struct daemon *daemon)
{
	const struct config_layout *layout;

	if (daemon->dropping)
		return;
	if (!store_marks_are_intact(daemon->store)) {
		daemon_marks_save(daemon);
		if (store_marks_are_intact(daemon->store))
			daemon_follow_repaired(daemon, 0, "marks.json");
	}
	for (size_t at = 1; (layout = config_layout_next(daemon->config, &at));) {
		if (daemon_marks_sandboxes(daemon, layout) || fabric_has_layout(daemon->fabric, layout))
			continue;
		daemon->dropping = layout;
		fabric_drop_layout(daemon->fabric, layout, daemon_marks_on_dropped, daemon);
		return;
	}
}
