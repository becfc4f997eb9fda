/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What redis_link.c has, without hiredis: there never is a link. */
#include "catalog/redis_link.h"

#ifndef HAVE_HIREDIS
#include "base/err.h"

#include <errno.h>

struct catalog_link *catalog_link_new(struct event_base *base, const struct config *config,
				      const struct catalog_link_owner *owner, struct err *err)
{
	(void)base;
	(void)config;
	(void)owner;
	err_set(err, ENOTSUP, "weft was built without hiredis");
	return NULL;
}

void catalog_link_free(struct catalog_link *link)
{
	(void)link;
}

bool catalog_link_is_up(const struct catalog_link *link)
{
	(void)link;
	return false;
}

unsigned catalog_link_owed(const struct catalog_link *link)
{
	(void)link;
	return 0;
}

const char *catalog_link_error(const struct catalog_link *link)
{
	(void)link;
	return NULL;
}

uint64_t catalog_link_losses(const struct catalog_link *link)
{
	(void)link;
	return 0;
}

int catalog_link_send(struct catalog_link *link, void *subject, int count, const char *const words[])
{
	(void)link;
	(void)subject;
	(void)count;
	(void)words;
	return -1;
}

void catalog_link_give_up(struct catalog_link *link, const char *why)
{
	(void)link;
	(void)why;
}

void catalog_link_reload(struct catalog_link *link)
{
	(void)link;
}
#endif
