/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CATALOG_CREDENTIALS_H
#define WEFT_CATALOG_CREDENTIALS_H

/* What [catalog] password_file has. No function here logs it, and no error has a part of it. */

#include <stdbool.h>

struct err;

enum { CATALOG_CREDENTIAL_SIZE = 1024 };

struct catalog_credentials {
	char user[CATALOG_CREDENTIAL_SIZE];     /* "": the default user */
	char password[CATALOG_CREDENTIAL_SIZE]; /* "": none is wanted */
};

/* Reads PATH; NULL: there is none. 0, or -1 with ERR and empty CREDENTIALS: no such file, open to others, empty, too long. */
int catalog_credentials_read(const char *path, struct catalog_credentials *credentials, struct err *err);

bool catalog_credentials_equal(const struct catalog_credentials *a, const struct catalog_credentials *b);

/* Overwrites them. */
void catalog_credentials_clear(struct catalog_credentials *credentials);

#endif
