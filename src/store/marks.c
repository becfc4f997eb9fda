/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * marks.json lists the layouts that slots on this host may have: by them what was made is found again, whatever the configuration says
 * by then. It is written before the first object of a layout is made, and again without it when the last one has gone.
 *
 * Where it is missing or damaged, the state files say which layouts their sandboxes have.
 */
#include "base/cleanup.h"
#include "base/err.h"
#include "config/layouts.h"
#include "store/codec.h"
#include "store/codec_layout.h"
#include "store/store.h"
#include "store/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int store_marks_add(struct store *store, const json_t *object, struct err *err)
{
	struct config_layout layout;
	const struct config_layout *known = NULL;
	const char *wrong;
	int result = store_decode_layout(object, &layout, &wrong);

	if (result < 0 && wrong)
		err_set(err, EBADMSG, "%s/" STORE_MARKS_NAME ": %s", store->path, wrong);
	else if (result < 0)
		err_set(err, ENOMEM, "%s/" STORE_MARKS_NAME, store->path);
	else if (!(known = config_layout_add(store->config, &layout)))
		result = err_set(err, ENOMEM, "%s/" STORE_MARKS_NAME ": more than %d layouts", store->path,
				 CONFIG_LAYOUTS_MAX);
	store->marks_current |= known == &store->config->layout;
	config_layout_clear(&layout);
	return result;
}

static int store_marks_read_text(struct store *store, const char *text, size_t length, struct err *err)
{
	json_t *json = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
	const json_t *marks = json_object_get(json, "marks");
	int result = 0;

	if (!json_is_array(marks) || json_integer_value(json_object_get(json, "version")) != STORE_VERSION)
		result = err_set(err, EBADMSG, "%s/" STORE_MARKS_NAME ": is no list of marks", store->path);
	for (size_t i = 0; result == 0 && i < json_array_size(marks); i++)
		result = store_marks_add(store, json_array_get(marks, i), err);
	json_decref(json);
	return result;
}

int store_marks_load(struct store *store, struct err *err)
{
	struct stat status;
	char why[128];
	size_t length = 0;

	if (fstatat(store->dir_fd, STORE_MARKS_NAME, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(err, errno, "%s/" STORE_MARKS_NAME, store->path);
	AUTO_FREE char *text =
	    store_read_file(store->dir_fd, STORE_MARKS_NAME, &length, &store->marks[0], why, sizeof(why));
	if (text)
		return store_marks_read_text(store, text, length, err);
	if (!*why)
		return err_set(err, errno, "%s/" STORE_MARKS_NAME, store->path);
	return err_set(err, EBADMSG, "%s/" STORE_MARKS_NAME ": %s", store->path, why);
}

static json_t *store_marks_encode(const struct config *config)
{
	json_t *marks = json_array();
	const struct config_layout *layout;

	for (size_t at = 0; marks && (layout = config_layout_next(config, &at));) {
		if (json_array_append_new(marks, store_encode_layout(layout)) < 0) {
			json_decref(marks);
			marks = NULL;
		}
	}
	return json_pack("{s:i, s:o}", "version", STORE_VERSION, "marks", marks);
}

int store_marks_save(struct store *store, struct err *err)
{
	json_t *json = store_marks_encode(store->config);
	AUTO_FREE char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
	size_t length = text ? strlen(text) : 0;

	json_decref(json);
	if (!text)
		return err_set(err, ENOMEM, "%s/" STORE_MARKS_NAME, store->path);
	if (store->usurper)
		return store_name_lock_holder(store->usurper, store->path, err);
	text[length] = '\n';
	return store_put_file(store, STORE_MARKS_NAME, &store->marks[0], text, length + 1, err);
}

bool store_marks_are_current(const struct store *store)
{
	return store->marks_current;
}

bool store_marks_are_intact(const struct store *store)
{
	return store_is_intact(store, 0);
}

int store_marks_remove(struct store *store, struct err *err)
{
	if (unlinkat(store->dir_fd, STORE_MARKS_NAME, 0) == 0 || errno == ENOENT)
		return 0;
	return err_set(err, errno, "%s/" STORE_MARKS_NAME, store->path);
}
