/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit/forwarder/door_lab.h"

#include "base/base64.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct handover_lab lab;
struct flow flow, other;
static char folder[] = "/tmp/weft-door-XXXXXX";
static struct sockaddr_un path;
int door = -1;

static void door_setup(void)
{
	strcpy(folder + strlen(folder) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	path.sun_family = AF_UNIX;
	snprintf(path.sun_path, sizeof(path.sun_path), "%s/door.sock", folder);
	door = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ck_assert_int_ge(door, 0);
	ck_assert_int_eq(bind(door, (const struct sockaddr *)&path, sizeof(path)), 0);
	ck_assert_int_eq(listen(door, 128), 0);
	lab_open_with_door(&lab, door);
	flow = other = (struct flow){ .client = -1, .guest = -1 };
}

static void door_teardown(void)
{
	flow_close(&flow);
	flow_close(&other);
	lab_close(&lab);
	close(door);
	unlink(path.sun_path);
	rmdir(folder);
}

/* ---- Clients ---- */

uint16_t guest_port(void)
{
	struct addr addr = { 0 };
	socklen_t size = sizeof(addr);

	ck_assert_int_eq(getsockname(lab.guest_listening, &addr.any, &size), 0);
	return addr_port(&addr);
}

size_t write_header(const char *id, char header[static HEADER_SIZE])
{
	static const char head[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11";
	static const uint8_t ends[] = { 192, 0, 2, 7, 127, 0, 0, 1, 0x15, 0xb3, 0, 80 };
	size_t size = 16;
	uint16_t length = (uint16_t)strlen(id), rest = htons((uint16_t)(sizeof(ends) + 3 + length));

	memcpy(header, head, 14);
	memcpy(header + 14, &rest, 2);
	memcpy(header + size, ends, sizeof(ends));
	size += sizeof(ends);
	header[size++] = 0x05;
	header[size++] = (char)(length >> 8);
	header[size++] = (char)length;
	memcpy(header + size, id, length);
	return size + length;
}

int knock(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(connect(fd, (const struct sockaddr *)&path, sizeof(path)), 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static void ask_whole(struct flow *asking, const char *id)
{
	static unsigned salt;
	char header[HEADER_SIZE];
	size_t size = write_header(id, header);

	*asking = (struct flow){ .client = knock(), .guest = -1, .salt = salt++ };
	ck_assert_int_eq(send(asking->client, header, size, MSG_NOSIGNAL), (ssize_t)size);
}

void ask_port(struct flow *asking, char kind, const char *name, unsigned port, const char *token)
{
	char id[128];

	snprintf(id, sizeof(id), kind == 't' ? "%c/%s/%u" : "%c/%s/%u/%s", kind, name, port, token);
	ask_whole(asking, id);
}

void ask(struct flow *asking, const char *name)
{
	ask_port(asking, 'h', name, guest_port(), "");
}

void open_one(struct flow *asking)
{
	ask(asking, "sb-1");
	flow_accept(&lab, asking);
}

void expect_reply(struct flow *asking, const char *text)
{
	char reply[1024];
	size_t have = 0;
	ssize_t size;

	while ((size = recv(asking->client, reply + have, sizeof(reply) - 1 - have, 0)) != 0) {
		if (size < 0) {
			ck_assert_int_eq(errno, EAGAIN);
			lab_turn(&lab);
			continue;
		}
		have += (size_t)size;
	}
	reply[have] = '\0';
	ck_assert_msg(strstr(reply, text) != NULL, "%s", reply);
	close(asking->client);
	asking->client = -1;
}

struct fwd_door_stats stats(void)
{
	struct fwd_door_stats all;

	fwd_door_stats(lab.forwarder, &all);
	return all;
}

uint16_t closed_port(int *fd)
{
	struct addr addr = addr_from_ipv4(0x7f000001, 0);
	socklen_t size = sizeof(addr);

	*fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(*fd, &addr.any, addr_length(&addr)), 0);
	ck_assert_int_eq(getsockname(*fd, &addr.any, &size), 0);
	return addr_port(&addr);
}

/* ---- The policy ---- */

const char right[] = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=";
const char wrong[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

struct door_policy policy_with_token(bool is_public)
{
	struct door_policy policy = { .is_public = is_public, .has_token = true };

	ck_assert_int_eq(base_base64_read(right, strlen(right), policy.token_sha256, DOOR_TOKEN_SIZE), DOOR_TOKEN_SIZE);
	return policy;
}

TCase *door_add_case(Suite *suite, const char *name)
{
	TCase *tcase = tcase_create(name);

	tcase_add_checked_fixture(tcase, door_setup, door_teardown);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	return tcase;
}
