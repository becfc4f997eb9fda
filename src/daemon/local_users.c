/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel knows the user of a socket and the group that its process had, but not the other groups of that user. So a group by name
 * stands for its number and for each of its members, as sudoers(5) has it. All this is looked up once, at the start.
 */
#include "daemon/local_users.h"

#include "config/config.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int daemon_local_users_add(struct config_users_list *ids, bool group, uint32_t first, uint32_t last)
{
	struct config_users *item = vec_push(ids);

	if (!item)
		return -1;
	*item = (struct config_users){ .group = group, .first = first, .last = last };
	return 0;
}

static int daemon_local_users_add_user(struct config_users_list *ids, const char *name)
{
	const struct passwd *user = getpwnam(name);

	return user ? daemon_local_users_add(ids, false, user->pw_uid, user->pw_uid) : 0;
}

static int daemon_local_users_add_group(struct config_users_list *ids, const char *name)
{
	const struct group *group = getgrnam(name);
	int status = group ? daemon_local_users_add(ids, true, group->gr_gid, group->gr_gid) : 0;

	for (size_t i = 0; group && status == 0 && group->gr_mem[i]; i++)
		status = daemon_local_users_add_user(ids, group->gr_mem[i]);
	return status;
}

static int daemon_local_users_compare(const void *left, const void *right)
{
	const struct config_users *a = left, *b = right;

	if (a->group != b->group)
		return a->group ? 1 : -1;
	return a->first < b->first ? -1 : a->first > b->first;
}

/* Sorts IDS, and makes one range of those that overlap or adjoin. */
static void daemon_local_users_merge(struct config_users_list *ids)
{
	size_t kept = 0;

	if (ids->count)
		qsort(ids->items, ids->count, sizeof(ids->items[0]), daemon_local_users_compare);
	for (size_t i = 0; i < ids->count; i++) {
		struct config_users *before = kept ? &ids->items[kept - 1] : NULL;
		const struct config_users *next = &ids->items[i];

		if (!before || before->group != next->group || before->last + 1 < next->first)
			ids->items[kept++] = *next;
		else if (before->last < next->last)
			before->last = next->last;
	}
	ids->count = kept;
}

void daemon_local_users_check(const struct config *config, struct config_mistakes *mistakes)
{
	const struct config_users_list *list = &config->ingress.local_users;

	for (size_t i = 0; i < list->count; i++) {
		const struct config_users *users = &list->items[i];
		char text[CONFIG_USER_NAME_SIZE + 1];

		if (!*users->name || (users->group ? getgrnam(users->name) != NULL : getpwnam(users->name) != NULL))
			continue;
		snprintf(text, sizeof(text), "%s%s", users->group ? "%" : "", users->name);
		config_mistake_add_item(mistakes, config, "ingress", "local_users", i, text, "no such %s",
					users->group ? "group" : "user");
	}
}

int daemon_local_users_resolve(struct config *config)
{
	const struct config_users_list *list = &config->ingress.local_users;
	struct config_users_list *ids = &config->ingress.local_ids;
	int status = 0;

	ids->count = 0;
	for (size_t i = 0; i < list->count && status == 0; i++) {
		const struct config_users *users = &list->items[i];

		if (!*users->name)
			status = daemon_local_users_add(ids, users->group, users->first, users->last);
		else if (users->group)
			status = daemon_local_users_add_group(ids, users->name);
		else
			status = daemon_local_users_add_user(ids, users->name);
	}
	daemon_local_users_merge(ids);
	return status;
}
