/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit/daemon/asleep_fixture.h"

#include "base/err.h"
#include "config/config.h"
#include "daemon/asleep.h"
#include "daemon/follow.h"
#include "daemon/patch.h"
#include "registry/problem.h"
#include "wire/wire.h"

#include <check.h>
#include <event2/event.h>
#include <jansson.h>
#include <string.h>

void asleep_setup(void)
{
	const struct registry_watcher watcher = { .state_changed = daemon_follow_state_changed, .context = &weftd };
	struct err err;

	flow_setup();
	weftd.base = event_base_new();
	ck_assert_ptr_nonnull(weftd.base);
	ck_assert_int_eq(daemon_asleep_start(&weftd, &err), 0);
	weftd.config->wake.notify = strdup("/run/manager.sock");
	registry_watch(weftd.registry, &watcher);
}

void asleep_teardown(void)
{
	flow_teardown();
	daemon_asleep_stop(&weftd);
	event_base_free(weftd.base);
}

void change(const char *text, int status)
{
	struct control_reply reply;
	struct control_request *request = fake_request(&reply, HTTP_PATCH, "a1");
	json_t *body = json_loads(text, 0, NULL);
	struct problem problem;

	ck_assert_msg(wire_read_patch(body, weftd.config, &request->patch, &problem) == 0, "%s", problem.detail);
	json_decref(body);
	daemon_patch(&weftd, request);
	settle();
	assert_answered(&reply, status);
}
