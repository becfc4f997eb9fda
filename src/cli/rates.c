/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The counters of two looks are compared. A sandbox that was not there at the one before has no rate; neither has another one of
 * the same id, which has another slot or a counter that fell.
 */
#include "cli/rates.h"

#include "base/clock.h"
#include "cli/call.h"

#include <stdlib.h>
#include <string.h>

void cli_rates_clear(struct rate_look *look)
{
	json_decref(look->answer);
	json_decref(look->by_id);
	free(look->rows);
	*look = (struct rate_look){ 0 };
}

static double cli_rates_of(const json_t *now, const json_t *then, const char *key, double seconds)
{
	json_int_t gained = client_number(json_object_get(now, "counters"), key) -
			    client_number(json_object_get(then, "counters"), key);

	return gained > 0 ? (double)gained / seconds : 0;
}

static struct rate_row cli_rates_row(const json_t *sandbox, const json_t *then, double seconds)
{
	struct rate_row row = { .sandbox = sandbox };

	row.rated = then && client_number(then, "slot") == client_number(sandbox, "slot");
	if (row.rated) {
		row.to_guest = cli_rates_of(sandbox, then, "bytes_to_guest", seconds);
		row.from_guest = cli_rates_of(sandbox, then, "bytes_from_guest", seconds);
		row.drops = cli_rates_of(sandbox, then, "drops_total", seconds);
	}
	return row;
}

int cli_rates_take(const struct cli *cli, const struct rate_look *last, struct rate_look *look)
{
	json_t *sandbox;
	size_t i;

	*look = (struct rate_look){ 0 };
	int code = cli_get(cli, &look->answer, "/v1/sandboxes");
	if (code != CLI_DONE)
		return code;
	const json_t *list = json_object_get(look->answer, "sandboxes");
	look->at_ms = clock_now_ms();
	look->total = json_array_size(list);
	look->by_id = json_object();
	look->rows = calloc(look->total + 1, sizeof(look->rows[0]));
	if (!look->by_id || !look->rows)
		abort();

	double seconds = (double)(look->at_ms - last->at_ms) / 1000 + 0.000001;
	json_array_foreach(list, i, sandbox)
	{
		const char *id = client_text(sandbox, "id");
		json_object_set(look->by_id, id, sandbox);
		if (cli_choose_is_met(cli->args, sandbox))
			look->rows[look->count++] = cli_rates_row(sandbox, json_object_get(last->by_id, id), seconds);
	}
	return CLI_DONE;
}

static int cli_rates_compare_text(const void *left, const void *right, const char *key)
{
	const struct rate_row *a = left, *b = right;

	return strcmp(client_text(a->sandbox, key), client_text(b->sandbox, key));
}

static int cli_rates_compare_count(const void *left, const void *right, const char *key)
{
	const struct rate_row *a = left, *b = right;

	return cli_order_numbers((double)client_number(json_object_get(a->sandbox, "counters"), key),
				 (double)client_number(json_object_get(b->sandbox, "counters"), key));
}

static int cli_rates_by_traffic(const void *left, const void *right)
{
	const struct rate_row *a = left, *b = right;

	return cli_order_numbers(a->to_guest + a->from_guest, b->to_guest + b->from_guest);
}

static int cli_rates_by_to(const void *left, const void *right)
{
	const struct rate_row *a = left, *b = right;

	return cli_order_numbers(a->to_guest, b->to_guest);
}

static int cli_rates_by_from(const void *left, const void *right)
{
	const struct rate_row *a = left, *b = right;

	return cli_order_numbers(a->from_guest, b->from_guest);
}

static int cli_rates_by_drops(const void *left, const void *right)
{
	const struct rate_row *a = left, *b = right;

	return cli_order_numbers(a->drops, b->drops);
}

static int cli_rates_by_connections(const void *left, const void *right)
{
	return cli_rates_compare_count(left, right, "connections_open");
}

static int cli_rates_by_held(const void *left, const void *right)
{
	return cli_rates_compare_count(left, right, "connections_held");
}

int cli_rates_by_slot(const void *left, const void *right)
{
	const struct rate_row *a = left, *b = right;

	return cli_order_numbers((double)client_number(a->sandbox, "slot"), (double)client_number(b->sandbox, "slot"));
}

static int cli_rates_by_id(const void *left, const void *right)
{
	return cli_rates_compare_text(left, right, "id");
}

static int cli_rates_by_name(const void *left, const void *right)
{
	return cli_rates_compare_text(left, right, "name");
}

static int cli_rates_by_state(const void *left, const void *right)
{
	return cli_rates_compare_text(left, right, "state");
}

const struct order_key rate_keys[] = {
	{ "traffic", cli_rates_by_traffic, true },
	{ "to", cli_rates_by_to, true },
	{ "from", cli_rates_by_from, true },
	{ "drops", cli_rates_by_drops, true },
	{ "conn", cli_rates_by_connections, true },
	{ "held", cli_rates_by_held, true },
	{ "slot", cli_rates_by_slot, false },
	{ "id", cli_rates_by_id, false },
	{ "name", cli_rates_by_name, false },
	{ "state", cli_rates_by_state, false },
	{ 0 },
};
