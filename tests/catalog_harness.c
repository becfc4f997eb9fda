/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The catalogue alone, with as many entries as are asked for and no sandbox behind them.
 *
 *	catalog_harness REDIS COUNT TTL
 *
 * It prints "published COUNT" whenever Redis has taken all of them, and "lost" when that is so no more. The end of its standard input ends
 * it.
 */
#include "base/err.h"
#include "base/loop.h"
#include "catalog/catalog.h"
#include "config/config.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct event_base *base;
static struct catalog *catalog;
static struct timer look;
static size_t wanted;
static bool complete;

static void on_look(void *context)
{
	struct catalog_stats stats;

	(void)context;
	catalog_stats(catalog, &stats);
	bool now = stats.up && stats.published == wanted;
	if (now && !complete)
		printf("published %zu\n", stats.published);
	else if (!now && complete)
		printf("lost\n");
	complete = now;
	fflush(stdout);
	timer_start(&look, 5);
}

static void on_input(evutil_socket_t fd, short what, void *context)
{
	char byte;

	(void)what;
	(void)context;
	if (read((int)fd, &byte, 1) <= 0)
		event_base_loopbreak(base);
}

static void set_all(void)
{
	char key[CATALOG_KEY_SIZE], execution[CATALOG_EXECUTION_SIZE];

	for (size_t i = 0; i < wanted; i++) {
		const struct catalog_entry entry = { .execution = execution, .started_ms = 1785000000123 };

		snprintf(key, sizeof(key), "s%zu", i);
		snprintf(execution, sizeof(execution), "execution-%zu", i);
		catalog_set(catalog, key, &entry, CATALOG_START);
	}
}

int main(int argc, char **argv)
{
	struct config *config = config_default();
	struct event *input;
	struct err err = { 0 };

	if (argc != 4 || !config || config_set(config, "catalog", "redis", argv[1]) < 0 ||
	    config_set(config, "catalog", "ttl", argv[3]) < 0 ||
	    config_set(config, "catalog", "address", "192.0.2.7") < 0)
		return 64;
	wanted = strtoul(argv[2], NULL, 10);
	base = event_base_new();
	input = event_new(base, STDIN_FILENO, EV_READ | EV_PERSIST, on_input, NULL);
	event_add(input, NULL);
	catalog = catalog_new(base, config, &err);
	if (!catalog || timer_init(&look, base, on_look, NULL, &err) < 0) {
		fprintf(stderr, "catalog_harness: %s\n", err.text);
		return 69;
	}
	set_all();
	timer_start(&look, 0);
	event_base_dispatch(base);
	timer_free(&look);
	catalog_free(catalog);
	event_free(input);
	event_base_free(base);
	config_free(config);
	return 0;
}
