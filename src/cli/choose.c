/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A filter is looked at as it was written, once for every sandbox; even thousands of sandboxes make that cheap.
 */
#include "cli/choose.h"

#include "base/assert.h"
#include "base/err.h"
#include "cli/args.h"
#include "cli/sandbox.h"
#include "client/ask.h"

#include <stdlib.h>
#include <string.h>

static bool cli_choose_state(const json_t *sandbox, const char *value)
{
	return strcmp(client_text(sandbox, "state"), value) == 0;
}

/* "K" or "K=V". A key has no '='. */
static bool cli_choose_label(const json_t *sandbox, const char *value)
{
	size_t length = strcspn(value, "=");
	const char *key;
	json_t *label;

	json_object_foreach(json_object_get(sandbox, "labels"), key, label)
	{
		if (strlen(key) == length && strncmp(key, value, length) == 0)
			return !value[length] ||
			       (json_is_string(label) && strcmp(json_string_value(label), value + length + 1) == 0);
	}
	return false;
}

static bool cli_choose_id(const json_t *sandbox, const char *value)
{
	return strncmp(client_text(sandbox, "id"), value, strlen(value)) == 0;
}

/* A sandbox without a name is known by its id. */
static bool cli_choose_name(const json_t *sandbox, const char *value)
{
	const char *name = client_text(sandbox, "name");

	return strstr(*name ? name : client_text(sandbox, "id"), value) != NULL;
}

static bool cli_choose_port(const json_t *sandbox, const char *value)
{
	long port = strtol(value, NULL, 10);
	json_t *endpoint;
	size_t i;

	json_array_foreach(json_object_get(sandbox, "endpoints"), i, endpoint)
	{
		if (client_number(endpoint, "guest_port") == port)
			return true;
	}
	return false;
}

static bool cli_choose_default(const json_t *sandbox, const char *value)
{
	return client_is(sandbox, "default") == (strcmp(value, "yes") == 0);
}

static bool cli_choose_wake(const json_t *sandbox, const char *value)
{
	return strcmp(value, "asked") == 0 ? cli_sandbox_is_asked(sandbox) : cli_sandbox_is_asleep(sandbox);
}

struct filter {
	const char *key;
	const char *words; /* the values allowed, separated by spaces; NULL: any */
	bool number;       /* a port */
	bool all;          /* several are all met, and not one of them */
	bool (*is_met)(const json_t *sandbox, const char *value);
};

static const struct filter filters[] = {
	{ "state", "creating waiting attached ready detached paused draining failed", false, false, cli_choose_state },
	{ "label", NULL, false, true, cli_choose_label },
	{ "name", NULL, false, false, cli_choose_name },
	{ "id", NULL, false, false, cli_choose_id },
	{ "port", NULL, true, false, cli_choose_port },
	{ "default", "yes no", false, false, cli_choose_default },
	{ "wake", "asleep asked", false, false, cli_choose_wake },
};

enum { FILTERS = sizeof(filters) / sizeof(filters[0]) };

/* The value in TEXT ("KEY=VALUE"), if its key is FILTER's; else NULL. */
static const char *cli_choose_value(const struct filter *filter, const char *text)
{
	size_t length = strlen(filter->key);

	return strncmp(text, filter->key, length) == 0 && text[length] == '=' ? text + length + 1 : NULL;
}

static int cli_choose_check_one(const char *text, struct err *err)
{
	const char *value = NULL;
	const struct filter *filter = filters;
	char what[32];
	long port;

	for (; filter < filters + FILTERS && !value; filter++)
		value = cli_choose_value(filter, text);
	if (!value)
		return err_set(err, 0,
			       "--filter %s: not one of: state=S label=K[=V] name=TEXT id=TEXT port=P default=yes|no "
			       "wake=asleep|asked",
			       text);
	filter--;
	if (!*value)
		return err_set(err, 0, "--filter %s: the value is missing", text);
	if (filter->words && !cli_args_is_word_of(filter->words, value))
		return err_set(err, 0, "--filter %s: not one of: %s", text, filter->words);
	snprintf(what, sizeof(what), "--filter %s", filter->key);
	return filter->number ? cli_args_number(what, value, 1, 65535, &port, err) : 0;
}

int cli_choose_check(const struct args *args, struct err *err)
{
	const char *text;

	for (size_t n = 0; (text = cli_args_value_at(args, "filter", n)); n++)
		if (cli_choose_check_one(text, err) < 0)
			return -1;
	return 0;
}

/* Whether SANDBOX meets all that is asked by filters of this key. */
static bool cli_choose_meets_key(const struct filter *filter, const struct args *args, const json_t *sandbox)
{
	size_t asked = 0, met = 0;
	const char *text;

	for (size_t n = 0; (text = cli_args_value_at(args, "filter", n)); n++) {
		const char *value = cli_choose_value(filter, text);
		asked += value != NULL;
		met += value && filter->is_met(sandbox, value);
	}
	return !asked || (filter->all ? met == asked : met > 0);
}

bool cli_choose_is_met(const struct args *args, const json_t *sandbox)
{
	for (const struct filter *filter = filters; filter < filters + FILTERS; filter++)
		if (!cli_choose_meets_key(filter, args, sandbox))
			return false;
	return true;
}

void cli_order_read(struct order *order, const struct order_key *keys, const char *text)
{
	order->reversed = *text == '-';
	for (order->key = keys; strcmp(order->key->name, text + order->reversed) != 0; order->key++)
		base_assert(order->key[1].name != NULL);
}

static int cli_order_compare(const void *left, const void *right, void *context)
{
	const struct order *order = context;
	int result = order->key->compare(left, right);

	if (!result)
		return order->tie(left, right);
	return order->reversed != order->key->falling ? -result : result;
}

void cli_order_sort(const struct order *order, void *items, size_t count, size_t size)
{
	qsort_r(items, count, size, cli_order_compare, (void *)order);
}

int cli_order_numbers(double left, double right)
{
	return (left > right) - (left < right);
}
