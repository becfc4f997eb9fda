/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit/store/store_fixture.h"

#include "base/log.h"
#include "config/config.h"
#include "wire/wire.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct config *config;
struct registry *registry;
struct store *store;
struct store_contents contents;
struct problem problem;
struct err err;
char root[64], directory[96];

void store_setup(void)
{
	log_setup(LOG_ERROR_LEVEL, LOG_TEXT_FORMAT, LOG_TO_STDERR);
	config = config_default();
	registry = registry_new(config);
	ck_assert_ptr_nonnull(registry);
	strcpy(root, "/tmp/weft-store-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
	snprintf(directory, sizeof(directory), "%s/run/state", root);
	store = store_open(directory, config, &err);
	ck_assert_msg(store != NULL, "%s", err.text);
}

void remove_all(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (unlinkat(dirfd(dir), entry->d_name, 0) < 0)
			unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
	}
	if (dir)
		closedir(dir);
	rmdir(path);
}

void store_teardown(void)
{
	char parent[96];

	store_contents_clear(&contents);
	store_close(store);
	registry_free(registry);
	config_free(config);
	remove_all(directory);
	snprintf(parent, sizeof(parent), "%s/run", root);
	remove_all(parent);
	remove_all(root);
}

char *path_of(const char *name)
{
	static char paths[2][256];
	static unsigned turn;
	char *path = paths[turn++ % 2];

	snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
	return path;
}

struct sandbox *added(const char *id, const char *body)
{
	json_t *json = wire_parse_body(body, strlen(body), &problem);
	struct spec *spec = wire_read_spec(json, config, &problem);
	struct sandbox *sandbox = registry_add(registry, id, spec, &problem);

	json_decref(json);
	ck_assert_msg(sandbox != NULL, "%s", problem.detail);
	return sandbox;
}

void save(const struct sandbox *sandbox)
{
	ck_assert_msg(store_save(store, sandbox, &err) == 0, "%s", err.text);
}

void write_file(const char *name, const char *text)
{
	FILE *file = fopen(path_of(name), "w");

	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
	ck_assert_int_eq(chmod(path_of(name), 0600), 0);
}
