/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CATALOG_VALUE_H
#define WEFT_CATALOG_VALUE_H

/* The texts of an entry, as E2B's client-proxy reads them. Pure. */

#include "catalog/catalog.h"

enum { CATALOG_VALUE_SIZE = 640, CATALOG_MARK_SIZE = 64 };

/* Who this host is, for all its entries; both without characters that JSON escapes. */
struct catalog_host {
	char id[129];
	char address[254];
};

/* The host's name where CONFIG has no id; characters of it that the check of that option refuses become '-'. */
void catalog_host_of(const struct config *config, struct catalog_host *host);

/* The JSON value of ENTRY. Returns TEXT. */
char *catalog_value_format(const struct catalog_host *host, const struct catalog_entry *entry,
			   char text[static CATALOG_VALUE_SIZE]);

/* The part of such a value that no other registration's has. Returns MARK. */
char *catalog_value_mark(const char *execution, char mark[static CATALOG_MARK_SIZE]);

#endif
