/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state that a sandbox is in outlives the daemon: else a sandbox whose VM has gone would wait for its first one after a restart,
 * and each state would be as old as the daemon. The number of times that the carrier was lost says whether a VM came and went while
 * no daemon was there to see it.
 */
#include "store/codec_status.h"

#include "registry/problem.h"
#include "store/store.h"
#include "wire/reading.h"
#include "wire/wire.h"

#include <stdio.h>

/* Until the year 9999: later ones have no text. */
#define TIME_MAX_MS INT64_C(253402300799000)

json_t *store_encode_status(const struct sandbox *sandbox)
{
	bool counted = sandbox->carrier_downs >= 0;

	return json_pack("{s:s, s:I, s:s, s:b, s:b, s:o}", "state", registry_sandbox_state_name(sandbox->state),
			 "since_ms", (json_int_t)sandbox->since_ms, "reason", sandbox->reason, "carrier",
			 sandbox->carrier, "was_attached", sandbox->was_attached, "carrier_downs",
			 counted ? json_integer((json_int_t)sandbox->carrier_downs) : json_null());
}

static int store_read_state(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			    void *target)
{
	struct stored_status *status = target;
	const char *text = "";

	if (wire_read_string(reader, place, value, &text) < 0)
		return -1;
	if (registry_sandbox_state_parse(text, &status->state) < 0)
		return wire_refuse(reader, place, "\"%s\" is no state", text);
	return 0;
}

static int store_read_since(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			    void *target)
{
	return wire_read_integer(reader, place, value, 0, TIME_MAX_MS, &((struct stored_status *)target)->since_ms);
}

static int store_read_reason(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			     void *target)
{
	struct stored_status *status = target;
	const char *text = "";

	if (wire_read_string(reader, place, value, &text) < 0)
		return -1;
	snprintf(status->reason, sizeof(status->reason), "%s", text);
	return 0;
}

static int store_read_carrier(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			      void *target)
{
	return wire_read_bool(reader, place, value, &((struct stored_status *)target)->carrier);
}

static int store_read_was_attached(const struct wire_reader *reader, const struct wire_place *place,
				   const json_t *value, void *target)
{
	return wire_read_bool(reader, place, value, &((struct stored_status *)target)->was_attached);
}

static int store_read_carrier_downs(const struct wire_reader *reader, const struct wire_place *place,
				    const json_t *value, void *target)
{
	struct stored_status *status = target;

	if (!json_is_null(value))
		return wire_read_integer(reader, place, value, 0, UINT32_MAX, &status->carrier_downs);
	status->carrier_downs = -1;
	return 0;
}

int store_read_status(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		      void *target)
{
	static const struct wire_member members[] = {
		{ "state", store_read_state, WIRE_REQUIRED },
		{ "since_ms", store_read_since, WIRE_REQUIRED },
		{ "reason", store_read_reason, WIRE_REQUIRED },
		{ "carrier", store_read_carrier, WIRE_REQUIRED },
		{ "was_attached", store_read_was_attached, WIRE_REQUIRED },
		{ "carrier_downs", store_read_carrier_downs, WIRE_REQUIRED },
	};
	static const struct wire_object object = WIRE_OBJECT_OF(members);
	struct stored_status *status = &((struct stored *)target)->status;

	status->known = true;
	return wire_read_object(reader, place, value, &object, status);
}
