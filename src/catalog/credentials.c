/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The permissions are those of the descriptor that is read, so that a file which is replaced meanwhile is not trusted by the looks of the
 * former one.
 */
#include "catalog/credentials.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OTHERS = S_IRWXG | S_IRWXO };

/* Opens PATH if nobody but root, or the user that this runs as, can read or write it. */
static int catalog_credentials_open(const char *path, struct err *err)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0)
		return err_set(err, errno, "password_file %s", path);
	if (!S_ISREG(status.st_mode))
		return err_set(err, 0, "password_file %s: not a regular file", path);
	if (status.st_uid != 0 && status.st_uid != geteuid())
		return err_set(err, 0, "password_file %s: it belongs to uid %u, not to root", path,
			       (unsigned)status.st_uid);
	if (status.st_mode & OTHERS)
		return err_set(err, 0, "password_file %s: mode %04o lets others use it; allowed: 0600 and 0400", path,
			       (unsigned)status.st_mode & 07777);
	return steal_fd(&fd);
}

/* The line at *TEXT, without its end, which *TEXT then follows. */
static char *catalog_credentials_line(char **text)
{
	char *line = *text, *end = line + strcspn(line, "\n");

	*text = *end ? end + 1 : end;
	*end = '\0';
	if (end > line && end[-1] == '\r')
		end[-1] = '\0';
	return line;
}

static int catalog_credentials_parse(char *text, const char *path, struct catalog_credentials *credentials,
				     struct err *err)
{
	const char *first = catalog_credentials_line(&text), *second = catalog_credentials_line(&text);

	if (*text)
		return err_set(err, 0, "password_file %s: more than two lines", path);
	if (!*first)
		return err_set(err, 0, "password_file %s: its first line is empty", path);
	if (strlen(first) >= CATALOG_CREDENTIAL_SIZE || strlen(second) >= CATALOG_CREDENTIAL_SIZE)
		return err_set(err, 0, "password_file %s: a line is too long", path);
	snprintf(credentials->user, CATALOG_CREDENTIAL_SIZE, "%s", *second ? first : "");
	snprintf(credentials->password, CATALOG_CREDENTIAL_SIZE, "%s", *second ? second : first);
	return 0;
}

int catalog_credentials_read(const char *path, struct catalog_credentials *credentials, struct err *err)
{
	char text[2 * CATALOG_CREDENTIAL_SIZE + 8];
	int result = -1;

	*credentials = (struct catalog_credentials){ 0 };
	if (!path)
		return 0;
	AUTO_FD int fd = catalog_credentials_open(path, err);
	if (fd < 0)
		return -1;
	ssize_t length = read(fd, text, sizeof(text) - 1);
	if (length < 0)
		return err_set(err, errno, "password_file %s", path);
	text[length] = '\0';
	if (memchr(text, '\0', (size_t)length))
		err_set(err, 0, "password_file %s: it is no text", path);
	else
		result = catalog_credentials_parse(text, path, credentials, err);
	explicit_bzero(text, sizeof(text));
	return result;
}

bool catalog_credentials_equal(const struct catalog_credentials *a, const struct catalog_credentials *b)
{
	return strcmp(a->user, b->user) == 0 && strcmp(a->password, b->password) == 0;
}

void catalog_credentials_clear(struct catalog_credentials *credentials)
{
	explicit_bzero(credentials, sizeof(*credentials));
}
