/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The door of a sandbox in PUT and PATCH, and a host whose door is not open. */
#include "config/config.h"
#include "daemon/door.h"
#include "daemon/patch.h"
#include "daemon/register.h"
#include "daemon/tenant.h"
#include "unit/daemon/flow_fixture.h"
#include "unit/faults.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static void close_port(struct control_reply *reply, unsigned port)
{
	struct control_request *request = fake_request(reply, HTTP_PATCH, "a1");
	char text[96];
	struct problem problem;

	snprintf(text, sizeof(text), "{\"door\": {\"ports\": {\"%u\": \"closed\"}}}", port);
	json_t *body = json_loads(text, 0, NULL);
	ck_assert_int_eq(wire_read_patch(body, weftd.config, &request->patch, &problem), 0);
	json_decref(body);
	daemon_patch(&weftd, request);
	settle();
}

START_TEST(the_forwarder_has_the_door_from_the_registration_on)
{
	struct control_reply reply;
	struct control_request *request = put_request(&reply);

	request->spec->door = (struct door_policy){ .is_public = false, .ports = { { 80 } }, .port_count = 1 };
	rooms.door.is_public = true;
	daemon_register(&weftd, request);
	ck_assert(!rooms.door.is_public);
	ck_assert_uint_eq(rooms.door.port_count, 1);
	fake_made(0);
	assert_answered(&reply, 201);
}
END_TEST

START_TEST(a_patch_changes_the_door_once_it_is_written_down)
{
	struct control_reply reply;

	have_sandbox();
	ck_assert(rooms.door.is_public);
	close_port(&reply, 81);
	assert_answered(&reply, 200);
	ck_assert_uint_eq(rooms.door.ports[0].port, 81);
	rooms.store_error = ENOSPC;
	close_port(&reply, 82);
	assert_answered(&reply, 500);
	ck_assert_uint_eq(rooms.door.ports[0].port, 81);
	ck_assert_uint_eq(found()->spec->door.ports[0].port, 81);
	rooms.store_error = 0;
}
END_TEST

START_TEST(the_reserved_id_is_refused)
{
	struct control_reply reply;
	struct control_request *request = fake_request(&reply, HTTP_PUT, BASE_NAME_OF_CHECKS);

	request->spec = registry_spec_new(weftd.config);
	daemon_register(&weftd, request);
	assert_answered(&reply, 400);
	assert_nothing_left();
}
END_TEST

START_TEST(the_status_has_no_door_where_there_is_none)
{
	json_t *told;

	free(weftd.config->door.socket);
	weftd.config->door.socket = NULL;
	told = daemon_door_describe(&weftd);
	ck_assert(json_is_null(told));
	json_decref(told);
}
END_TEST

START_TEST(the_status_tells_each_reason)
{
	json_t *told = daemon_door_describe(&weftd), *refused = json_object_get(told, "refused");

	ck_assert_str_eq(json_string_value(json_object_get(told, "socket")), "/run/weft/door.sock");
	ck_assert(json_is_false(json_object_get(told, "open")));
	ck_assert_uint_eq(json_object_size(refused), 7);
	ck_assert_ptr_nonnull(json_object_get(refused, "token-missing"));
	json_decref(told);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("daemon_door");
	TCase *tcase = tcase_create("daemon_door");

	tcase_add_checked_fixture(tcase, flow_setup, flow_teardown);
	tcase_add_test(tcase, the_forwarder_has_the_door_from_the_registration_on);
	tcase_add_test(tcase, a_patch_changes_the_door_once_it_is_written_down);
	tcase_add_test(tcase, the_reserved_id_is_refused);
	tcase_add_test(tcase, the_status_has_no_door_where_there_is_none);
	tcase_add_test(tcase, the_status_tells_each_reason);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
