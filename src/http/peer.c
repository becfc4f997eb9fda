/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A peer is on one of two lists by its state, and has a timer that each change of state sets anew. The connections that are
 * READING stand in the order in which they began: the first one is closed when there are too many.
 */
#include "http/peer.h"

#include "base/clock.h"
#include "base/err.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

void http_peer_set_init(struct peer_set *set)
{
	*set = (struct peer_set){ 0 };
	TAILQ_INIT(&set->reading);
	TAILQ_INIT(&set->others);
}

static void http_peer_unlist(struct http_peer *peer)
{
	if (peer->state == PEER_READING) {
		TAILQ_REMOVE(&peer->set->reading, peer, next);
		peer->set->reading_count--;
	} else {
		TAILQ_REMOVE(&peer->set->others, peer, next);
	}
}

static void http_peer_list(struct http_peer *peer)
{
	if (peer->state == PEER_READING) {
		peer->reading_since_ms = clock_now_ms();
		TAILQ_INSERT_TAIL(&peer->set->reading, peer, next);
		peer->set->reading_count++;
	} else {
		TAILQ_INSERT_TAIL(&peer->set->others, peer, next);
	}
}

void http_peer_set_state(struct http_peer *peer, enum peer_state state, uint64_t deadline_ms)
{
	http_peer_unlist(peer);
	peer->state = state;
	http_peer_list(peer);
	if (deadline_ms)
		timer_start(&peer->deadline, deadline_ms);
	else
		timer_stop(&peer->deadline);
}

struct http_peer *http_peer_new(struct peer_set *set, struct event_base *base, int fd, void (*expired)(void *peer),
				uint64_t deadline_ms)
{
	struct http_peer *peer = calloc(1, sizeof(*peer));
	struct err err;

	if (!peer || timer_init(&peer->deadline, base, expired, peer, &err) < 0)
		goto no_memory;
	peer->bufferevent = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!peer->bufferevent)
		goto no_memory;
	peer->set = set;
	set->count++;
	http_peer_list(peer);
	timer_start(&peer->deadline, deadline_ms);
	return peer;

no_memory:
	if (peer)
		timer_free(&peer->deadline);
	free(peer);
	close(fd);
	return NULL;
}

/* The shutdown sends the end of the reply first: close() alone resets a connection on TCP whose last bytes were not read. */
void http_peer_free(struct http_peer *peer)
{
	http_peer_unlist(peer);
	peer->set->count--;
	timer_free(&peer->deadline);
	shutdown(bufferevent_getfd(peer->bufferevent), SHUT_WR);
	bufferevent_free(peer->bufferevent);
	http_intake_free(&peer->intake);
	free(peer);
}

bool http_peer_send(struct http_peer *peer)
{
	return bufferevent_enable(peer->bufferevent, EV_WRITE) == 0;
}

bool http_peer_hung_up(const struct http_peer *peer)
{
	struct pollfd poll_fd = { .fd = bufferevent_getfd(peer->bufferevent) };

	return poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & (POLLHUP | POLLERR));
}

bool http_peer_is_local(const struct http_peer *peer)
{
	int domain = AF_UNSPEC;
	socklen_t size = sizeof(domain);

	return !getsockopt(bufferevent_getfd(peer->bufferevent), SOL_SOCKET, SO_DOMAIN, &domain, &size) &&
	       domain == AF_UNIX;
}

/* Where weftd itself was held up, bytes that a client sent in time wait in the socket. */
bool http_peer_is_idle(const struct http_peer *peer, uint64_t now_ms, uint64_t grace_ms)
{
	int unread = 0;

	if (now_ms - peer->reading_since_ms < grace_ms)
		return false;
	return ioctl(bufferevent_getfd(peer->bufferevent), FIONREAD, &unread) < 0 || !unread;
}

/*
 * Replies are short and the buffers of sockets are not, so one sendmsg() does. A client that never reads gets no more
 * than that.
 */
void http_peer_flush_finally(struct http_peer *peer)
{
	enum { PARTS = 256 };
	struct evbuffer_iovec parts[PARTS];
	int count = evbuffer_peek(bufferevent_get_output(peer->bufferevent), -1, NULL, parts, PARTS);
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = (size_t)(count < PARTS ? count : PARTS) };

	if (count > 0)
		(void)sendmsg(bufferevent_getfd(peer->bufferevent), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}
