/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_GUEST_SERVER_H
#define WEFT_GUEST_SERVER_H

/*
 * The stand-in server has two parts: server.c with the loop and the connections, server_kinds.c with the behaviour of each kind.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#define ENDLESS UINT64_MAX

struct connection;

struct kind {
	const char *name;
	/* Takes LENGTH received bytes. */
	void (*data)(struct connection *connection, const char *bytes, size_t length);
	void (*started)(struct connection *connection); /* may be NULL */
	void (*fin)(struct connection *connection);     /* may be NULL: then closes at once */
	bool discards;                                  /* the bytes need not even be copied */
};

/* The struct of an epoll event begins with its descriptor's role. */
enum role { ROLE_LISTENER, ROLE_CONNECTION, ROLE_STDIN };

struct fwd_listener {
	enum role role;
	int fd;
	const char *path;
	unsigned port;
	const struct kind *kind;
	const char *argument; /* "" without one */
};

struct connection {
	enum role role;
	int fd; /* -1 once it has ended */
	const struct fwd_listener *listener;
	char *out; /* queued, from out_start to out_end */
	size_t out_start, out_end, out_size;
	uint64_t pattern_left; /* to be sent after what is queued */
	uint64_t pattern_sent;
	uint64_t received;
	uint32_t crc;
	uint64_t body_left; /* http: of the request whose head was read */
	uint64_t upload;    /* http: the length of a body that is answered when all of it is there; 0: none */
	char *head;         /* http: HEAD bytes */
	size_t head_used;
	uint64_t due_ms; /* half: when to answer; 0: not yet */
	bool read_shut;  /* the client's FIN came */
	bool finishing;  /* closes when all is sent */
	bool corked;     /* nothing is sent before due_ms */
	uint32_t interest;
	LIST_ENTRY(connection) waiting; /* linked while due_ms is set */
};

/*
 * Ends the connection. HOW: the client's first action, "fin" or "reset", or "closed". The struct lives until server.c
 * frees it.
 */
void connection_end(struct connection *connection, const char *how);

/* Queues bytes to send. */
void connection_queue(struct connection *connection, const char *bytes, size_t length);

/* Sends LENGTH bytes of the pattern, from its start, after the queued bytes. */
void connection_send_pattern(struct connection *connection, uint64_t length);

/* Uncorks the connection in DELAY_MS. */
void connection_answer_in(struct connection *connection, uint64_t delay_ms);

/* Once, before the first connection. */
void kinds_prepare(void);
/* Ends the program if there is no such kind. */
const struct kind *kind_find(const char *name);

#endif
