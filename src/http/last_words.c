/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is answered in the last turn of the loop, nobody writes any more: a stop would leave its callers without the word that it
 * owes them. Answers are short and sockets' buffers are not, so one sendmsg() does; a client that is gone, or that never reads,
 * has no claim on more.
 */
#include "http/last_words.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <sys/socket.h>

enum { PARTS = 16 };

void last_words_send(struct bufferevent *bufferevent)
{
	struct evbuffer_iovec parts[PARTS];
	int count = evbuffer_peek(bufferevent_get_output(bufferevent), -1, NULL, parts, PARTS);
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = (size_t)(count < PARTS ? count : PARTS) };

	if (count > 0)
		(void)sendmsg(bufferevent_getfd(bufferevent), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}
