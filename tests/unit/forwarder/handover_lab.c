/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit/forwarder/handover_lab.h"

#include "base/addr.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/netns.h"
#include "config/config.h"

#include <check.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WHOLE_BYTES = 3000 };
enum { TURN_MS = 1, STILL_TURNS = 40, FILL = 1024 * 1024, SMALL = 32 * 1024, CHUNK = 64 * 1024, BACKLOG = 4096 };

/* ---- Runs ---- */

/* With loopback's own segments of 64 KiB a small window would open by the retransmission timer alone. */
static void make_small(int fd)
{
	int buffer = SMALL, segment = 1400;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
	setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof(segment));
	setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
}

static int listen_on_loopback(bool small)
{
	struct addr addr = addr_from_ipv4(0x7f000001, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;

	ck_assert_int_ge(fd, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (small)
		make_small(fd);
	ck_assert_int_eq(bind(fd, &addr.any, addr_length(&addr)), 0);
	ck_assert_int_eq(listen(fd, BACKLOG), 0);
	return fd;
}

static struct addr address_of(int fd)
{
	struct addr addr = { 0 };
	socklen_t size = sizeof(addr);

	ck_assert_int_eq(getsockname(fd, &addr.any, &size), 0);
	return addr;
}

static void open_route(struct handover_lab *lab)
{
	const struct lab_route *state = &lab->state;

	lab->route = fwd_route_new(lab->forwarder, "sb-1", state->slot, &state->limits);
	ck_assert_ptr_nonnull(lab->route);
	fwd_route_set_guest(lab->route, 0x7f000001);
	fwd_route_set_source(lab->route, lab->source_ip);
	fwd_route_set_namespace(lab->route, state->netns_fd);
	if (state->paused)
		fwd_route_pause_since(lab->route, state->paused_for_ms ? clock_now_ms() - state->paused_for_ms : 0);
	fwd_route_set_carrier_downs(lab->route, state->downs);
	fwd_route_set_up(lab->route, state->up);
	lab->listener = NULL;
	if (!lab->no_listener)
		lab_listen(lab);
}

void lab_listen(struct handover_lab *lab)
{
	struct addr listen = address_of(lab->listening), guest = address_of(lab->guest_listening);
	struct err err;
	struct fwd_listener_options options = { .proto = PROTO_TCP,
						.guest_port = addr_port(&guest),
						.proxy_protocol = lab->proxy_protocol,
						.fd = fcntl(lab->listening, F_DUPFD_CLOEXEC, 3) };

	lab->listener = fwd_listener_open(lab->forwarder, &listen, lab->route, &options, &err);
	ck_assert_msg(lab->listener != NULL, "%s", err.text);
}

static void open_door(const struct handover_lab *lab)
{
	const struct fwd_listener_options options = { .proto = PROTO_TCP,
						      .door = true,
						      .fd = fcntl(lab->door, F_DUPFD_CLOEXEC, 3) };
	const struct addr none = { 0 };
	struct err err;

	ck_assert_msg(fwd_listener_open(lab->forwarder, &none, NULL, &options, &err) != NULL, "%s", err.text);
}

static void open_forwarder(struct handover_lab *lab)
{
	struct err err;

	lab->forwarder = fwd_new(lab->base, lab->config, &err);
	ck_assert_msg(lab->forwarder != NULL, "%s", err.text);
	if (lab->door)
		open_door(lab);
	if (!lab->services)
		return;

	const struct fwd_listener_options options = { .proto = PROTO_TCP, .services = true, .fd = -1 };
	const struct addr listen = addr_from_ipv4(INADDR_ANY, LAB_SERVICE_PORT);

	ck_assert_int_eq(fwd_set_services(lab->forwarder, lab->services, lab->service_count, &err), 0);
	ck_assert_msg(fwd_listener_open(lab->forwarder, &listen, NULL, &options, &err) != NULL, "%s", err.text);
}

static void lab_set_up(struct handover_lab *lab, const struct fwd_service *services, size_t count, uint32_t source_ip)
{
	struct rlimit limit = { .rlim_cur = 1 << 16, .rlim_max = 1 << 16 };
	struct err err;

	setrlimit(RLIMIT_NOFILE, &limit);
	log_setup(LOG_ERROR_LEVEL, LOG_TEXT_FORMAT, LOG_TO_STDERR);
	ck_assert_int_eq(base_netns_init(&err), 0);
	*lab = (struct handover_lab){ .base = event_base_new(), .config = config_default(), .known = true };
	lab->services = services;
	lab->service_count = count;
	lab->source_ip = source_ip;
	lab->config->daemon.workers = 2;
	lab->netns_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	lab->listening = listen_on_loopback(false);
	lab->guest_listening = listen_on_loopback(true);
	lab->state = (struct lab_route){ .slot = SLOT,
					 .netns_fd = lab->netns_fd,
					 .up = true,
					 .downs = LAB_DOWNS,
					 .limits = { .connect_deadline_ms = 60000 } };
}

void lab_open(struct handover_lab *lab)
{
	lab_open_with(lab, NULL, 0, 0);
}

void lab_open_with_door(struct handover_lab *lab, int fd)
{
	lab_set_up(lab, NULL, 0, 0);
	lab->door = fd;
	free(lab->config->door.socket);
	lab->config->door.socket = strdup("/the/door");
	lab->config->door.hold_ms = 60000;
	open_forwarder(lab);
	open_route(lab);
}

void lab_open_with(struct handover_lab *lab, const struct fwd_service *services, size_t count, uint32_t source_ip)
{
	lab_set_up(lab, services, count, source_ip);
	open_forwarder(lab);
	open_route(lab);
}

void lab_close(struct handover_lab *lab)
{
	fwd_free(lab->forwarder);
	lab_drop_kept(lab);
	close(lab->netns_fd);
	close(lab->listening);
	close(lab->guest_listening);
	config_free(lab->config);
	event_base_free(lab->base);
}

void lab_turn(struct handover_lab *lab)
{
	const struct timeval soon = { .tv_usec = TURN_MS * 1000 };

	event_base_loopexit(lab->base, &soon);
	event_base_loop(lab->base, EVLOOP_NO_EXIT_ON_EMPTY);
}

static void on_frozen(void *context, const struct fwd_handover *handover, const struct err *err)
{
	struct handover_lab *lab = context;
	struct kept *kept = &lab->kept;

	ck_assert_ptr_null(err);
	lab->frozen = true;
	*kept = (struct kept){ .size = handover->record_size,
			       .count = handover->fd_count,
			       .connections = handover->connections,
			       .bytes = handover->bytes };
	kept->record = malloc(kept->size);
	kept->fds = calloc(kept->count + 1, sizeof(int));
	memcpy(kept->record, handover->record, kept->size);
	for (size_t i = 0; i < kept->count; i++) {
		kept->fds[i] = fcntl(handover->fds[i], F_DUPFD_CLOEXEC, 3);
		ck_assert_int_ge(kept->fds[i], 0);
	}
}

void lab_freeze(struct handover_lab *lab)
{
	struct err err;

	lab->frozen = false;
	ck_assert_int_eq(fwd_freeze(lab->forwarder, on_frozen, lab, &err), 0);
	while (!lab->frozen)
		lab_turn(lab);
}

void lab_leave(struct handover_lab *lab)
{
	fwd_freeze_leave(lab->forwarder);
	fwd_free(lab->forwarder);
	lab->forwarder = NULL;
}

void lab_drop_kept(struct handover_lab *lab)
{
	for (size_t i = 0; i < lab->kept.count; i++) {
		if (lab->kept.fds[i] >= 0)
			close(lab->kept.fds[i]);
	}
	free(lab->kept.fds);
	free(lab->kept.record);
	lab->kept = (struct kept){ 0 };
}

static void on_thawed(void *context, const struct fwd_thaw_result *result)
{
	struct handover_lab *lab = context;

	ck_assert(!lab->thawed);
	lab->thawed = true;
	lab->result = *result;
}

void lab_start(struct handover_lab *lab)
{
	struct kept *kept = &lab->kept;

	open_forwarder(lab);
	lab->thawed = false;
	fwd_thaw_begin(lab->forwarder, kept->record, kept->size, kept->fds, kept->count, on_thawed, lab);
	for (size_t i = 0; i < kept->count; i++)
		ck_assert_int_eq(kept->fds[i], -1);
	lab_drop_kept(lab);
	open_route(lab);
}

static bool is_known(void *context, const char *id)
{
	const struct handover_lab *lab = context;

	return lab->known && strcmp(id, "sb-1") == 0;
}

void lab_thaw(struct handover_lab *lab)
{
	fwd_thaw_drop_unknown(lab->forwarder, is_known, lab);
	fwd_thaw_route(lab->route);
	fwd_thaw_default(lab->forwarder);
	while (!lab->thawed)
		lab_turn(lab);
	ck_assert_uint_eq(fwd_thaw_waiting(lab->forwarder), 0);
}

void lab_hand_over(struct handover_lab *lab)
{
	lab_freeze(lab);
	lab_leave(lab);
	lab_start(lab);
	lab_thaw(lab);
}

/* ---- Looks ---- */

uint64_t lab_ended(struct handover_lab *lab, enum fwd_close_reason reason)
{
	struct fwd_stats stats;

	fwd_stats(lab->forwarder, &stats);
	return stats.ended[reason];
}

void lab_assert_taken(const struct handover_lab *lab, size_t taken, size_t lost)
{
	ck_assert_uint_eq(lab->result.taken, taken);
	ck_assert_uint_eq(lab->result.lost, lost);
}

void lab_expect_end(struct handover_lab *lab, enum fwd_close_reason reason)
{
	while (!lab_ended(lab, reason))
		lab_turn(lab);
	ck_assert_uint_eq(lab_ended(lab, reason), 1);
}

struct asked {
	bool answered;
	size_t index, count;
	struct fwd_connection_info info;
};

static void on_listed(void *context, const struct fwd_connection_info *info, size_t count)
{
	struct asked *asked = context;

	asked->answered = true;
	asked->count = count;
	if (asked->index < count)
		asked->info = info[asked->index];
}

static struct asked ask(struct handover_lab *lab, size_t index)
{
	struct asked asked = { .index = index };

	fwd_route_list(lab->route, SIZE_MAX, on_listed, &asked);
	while (!asked.answered)
		lab_turn(lab);
	return asked;
}

struct fwd_connection_info lab_listed(struct handover_lab *lab, size_t index)
{
	struct asked asked = ask(lab, index);

	ck_assert_uint_lt(index, asked.count);
	return asked.info;
}

size_t lab_count(struct handover_lab *lab)
{
	return ask(lab, 0).count;
}

void lab_wait_for_state(struct handover_lab *lab, const char *state)
{
	for (;;) {
		struct asked asked = ask(lab, 0);

		if (asked.count && strcmp(asked.info.state, state) == 0)
			return;
		lab_turn(lab);
	}
}

/* ---- Flows ---- */

static unsigned char byte_at(const struct flow *flow, int from, size_t place)
{
	return (unsigned char)(place * 31 + (place >> 8) * 17 + (place >> 16) + flow->salt * 7 + (from ? 101 : 3));
}

static int end_of(const struct flow *flow, int side)
{
	return side == FROM_CLIENT ? flow->client : flow->guest;
}

void flow_connect(struct handover_lab *lab, struct flow *flow)
{
	struct addr addr = address_of(lab->listening);
	static unsigned salt;

	*flow = (struct flow){ .guest = -1, .salt = salt++ };
	flow->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(flow->client, 0);
	make_small(flow->client);
	ck_assert_int_eq(connect(flow->client, &addr.any, addr_length(&addr)), 0);
	fcntl(flow->client, F_SETFL, O_NONBLOCK);
}

void flow_accept(struct handover_lab *lab, struct flow *flow)
{
	while ((flow->guest = accept4(lab->guest_listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) < 0) {
		ck_assert_int_eq(errno, EAGAIN);
		lab_turn(lab);
	}
}

void flow_open(struct handover_lab *lab, struct flow *flow)
{
	flow_connect(lab, flow);
	flow_accept(lab, flow);
}

void flow_close(struct flow *flow)
{
	if (flow->client >= 0)
		close(flow->client);
	if (flow->guest >= 0)
		close(flow->guest);
	flow->client = flow->guest = -1;
}

size_t flow_send(struct flow *flow, int from, size_t size, size_t piece)
{
	char buffer[CHUNK];
	size_t all = 0;

	while (all < size) {
		size_t some = size - all < piece ? size - all : piece;

		for (size_t i = 0; i < some; i++)
			buffer[i] = (char)byte_at(flow, from, flow->sent[from] + i);
		ssize_t sent = send(end_of(flow, from), buffer, some, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0) {
			if (errno != EAGAIN)
				ck_abort_msg("%s", strerror(errno));
			break;
		}
		flow->sent[from] += (size_t)sent;
		all += (size_t)sent;
	}
	return all;
}

void flow_fill(struct handover_lab *lab, struct flow *flow, int from, size_t piece)
{
	size_t before = flow->sent[from];

	for (int still = 0; still < STILL_TURNS; still++) {
		if (flow->sent[from] < before + FILL && flow_send(flow, from, piece, piece))
			still = 0;
		if (piece < SMALL || still)
			lab_turn(lab);
	}
}

int flow_take(struct flow *flow, int from)
{
	unsigned char buffer[CHUNK];
	ssize_t size = recv(end_of(flow, !from), buffer, sizeof(buffer), MSG_DONTWAIT);

	if (size < 0 && errno != EAGAIN)
		ck_abort_msg("%s after %zu bytes", strerror(errno), flow->got[from]);
	if (size < 0)
		return 0;
	for (ssize_t i = 0; i < size; i++) {
		if (buffer[i] != byte_at(flow, from, flow->got[from] + (size_t)i))
			ck_abort_msg("byte %zu from %s", flow->got[from] + (size_t)i, from ? "guest" : "client");
	}
	flow->got[from] += (size_t)size;
	return size ? 1 : -1;
}

void flow_drain(struct handover_lab *lab, struct flow *flow, int from)
{
	while (flow->got[from] < flow->sent[from]) {
		int taken = flow_take(flow, from);

		if (taken < 0)
			ck_abort_msg("ended after %zu bytes", flow->got[from]);
		if (!taken)
			lab_turn(lab);
	}
	ck_assert_uint_eq(flow->got[from], flow->sent[from]);
}

void flow_pass(struct handover_lab *lab, struct flow *flow, int from, size_t size)
{
	while (size) {
		size -= flow_send(flow, from, size, CHUNK);
		flow_drain(lab, flow, from);
	}
}

void flow_expect_end(struct handover_lab *lab, struct flow *flow, int from)
{
	int taken;

	while ((taken = flow_take(flow, from)) >= 0) {
		if (!taken)
			lab_turn(lab);
	}
	ck_assert_uint_eq(flow->got[from], flow->sent[from]);
}

void flow_expect_reset(struct handover_lab *lab, struct flow *flow, int from)
{
	char buffer[CHUNK];
	ssize_t size;

	while ((size = recv(end_of(flow, !from), buffer, sizeof(buffer), MSG_DONTWAIT)) > 0 ||
	       (size < 0 && errno == EAGAIN))
		lab_turn(lab);
	ck_assert_msg(size < 0 && errno == ECONNRESET, "%s", size ? strerror(errno) : "ended in order");
}

void flow_expect_whole(struct handover_lab *lab, struct flow *flow)
{
	flow_pass(lab, flow, FROM_CLIENT, WHOLE_BYTES);
	flow_pass(lab, flow, FROM_GUEST, WHOLE_BYTES);
	shutdown(flow->client, SHUT_WR);
	flow_expect_end(lab, flow, FROM_CLIENT);
	flow_pass(lab, flow, FROM_GUEST, WHOLE_BYTES);
	shutdown(flow->guest, SHUT_WR);
	flow_expect_end(lab, flow, FROM_GUEST);
}

void lab_expect_whole(struct handover_lab *lab, struct flow *flow)
{
	flow_expect_whole(lab, flow);
	while (!lab_ended(lab, CLOSE_DONE))
		lab_turn(lab);
}
