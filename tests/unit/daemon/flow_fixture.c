/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit/daemon/flow_fixture.h"

#include "base/log.h"
#include "config/config.h"
#include "daemon/patch.h"
#include "daemon/register.h"
#include "daemon/tenant.h"
#include "daemon/unregister.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

/* Never looked into: the fabric is a fake. */
static struct fabric *const some_fabric = (struct fabric *)&rooms;

struct daemon weftd;

void flow_setup(void)
{
	log_setup(LOG_ERROR_LEVEL, LOG_TEXT_FORMAT, LOG_TO_STDERR);
	freopen("/dev/null", "w", stderr); /* failures are logged */
	rooms = (struct fake_rooms){ 0 };
	weftd = (struct daemon){ .state = DAEMON_RUNNING, .fabric = some_fabric };
	weftd.config = config_default();
	ck_assert_ptr_nonnull(weftd.config);
	weftd.registry = registry_new(weftd.config);
	ck_assert_ptr_nonnull(weftd.registry);
	control_park_init(&weftd.parked, NULL);
}

void flow_teardown(void)
{
	struct sandbox *sandbox;

	while ((sandbox = registry_next(weftd.registry, 0))) {
		free(daemon_tenant_of(sandbox)->route);
		daemon_tenant_free(daemon_tenant_of(sandbox));
		registry_remove(weftd.registry, sandbox);
	}
	registry_free(weftd.registry);
	config_free(weftd.config);
}

struct control_request *put_request(struct control_reply *reply)
{
	struct control_request *request = fake_request(reply, HTTP_PUT, "a1");

	request->spec = registry_spec_new(weftd.config);
	ck_assert_ptr_nonnull(request->spec);
	return request;
}

void put(struct control_reply *reply)
{
	daemon_register(&weftd, put_request(reply));
}

void delete_it(struct control_reply *reply)
{
	daemon_unregister(&weftd, fake_request(reply, HTTP_DELETE, "a1"));
}

/* Pauses the sandbox. */
void patch(struct control_reply *reply)
{
	struct control_request *request = fake_request(reply, HTTP_PATCH, "a1");

	request->patch.has_paused = request->patch.paused = true;
	daemon_patch(&weftd, request);
}

void assert_answered(const struct control_reply *reply, int status)
{
	ck_assert_uint_eq(reply->answers, 1);
	ck_assert_msg(reply->status == status, "%d instead of %d: %s", reply->status, status, reply->detail);
}

struct sandbox *found(void)
{
	return registry_find(weftd.registry, "a1");
}

/* The sandbox a1, registered. */
void have_sandbox(void)
{
	struct control_reply reply;

	put(&reply);
	fake_made(0);
	assert_answered(&reply, 201);
}

void assert_nothing_left(void)
{
	ck_assert_ptr_null(found());
	ck_assert_uint_eq(rooms.files, 0);
	ck_assert_uint_eq(rooms.routes, 0);
}

/* Brings all that is under way to its end. */
void settle(void)
{
	while (rooms.closing || rooms.making || rooms.destroying || rooms.updating || rooms.turning) {
		if (rooms.closing)
			fake_closed();
		else if (rooms.making)
			fake_made(0);
		else if (rooms.destroying)
			fake_destroyed(0);
		else if (rooms.turning)
			fake_turned(0);
		else
			fake_updated(0);
	}
}
