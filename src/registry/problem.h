/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_REGISTRY_PROBLEM_H
#define WEFT_REGISTRY_PROBLEM_H

/*
 * The reason why a request is refused, in the terms of its sender. The control socket answers it as RFC 9457 describes.
 *
 * An err describes a failure inside; a problem describes a fault of the request, and names the part at fault.
 */

enum problem_kind { /* the values are those of HTTP, RFC 9110 */
		    PROBLEM_NONE = 0,
		    PROBLEM_BAD_REQUEST = 400,
		    PROBLEM_NOT_FOUND = 404,
		    PROBLEM_NOT_ALLOWED = 405, /* the method */
		    PROBLEM_TIMEOUT = 408,
		    PROBLEM_CONFLICT = 409,
		    PROBLEM_GONE = 410,
		    PROBLEM_TOO_LARGE = 413,
		    PROBLEM_TOO_MANY = 429,
		    PROBLEM_INTERNAL = 500, /* a step in the kernel failed; the detail says which */
		    PROBLEM_UNAVAILABLE = 503,
};

struct problem {
	enum problem_kind kind;
	char field
	    [128]; /* JSON pointer ("/ports/0/listen"), "id", or the name of a query parameter; "" if no part is to blame */
	char detail[384];       /* a sentence for people */
	unsigned retry_after_s; /* the same request is worth another try then; 0: nothing is known of that */
};

/* Fills PROBLEM; FIELD may be NULL. Returns -1, so that `return registry_problem_set(...)` reads well. */
int registry_problem_set(struct problem *problem, enum problem_kind kind, const char *field, const char *format, ...)
    __attribute__((format(printf, 4, 5), cold));

/* UNAVAILABLE with DETAIL: weftd stops, and its next run serves the same request. Returns -1. */
int registry_problem_stopping(struct problem *problem, const char *detail) __attribute__((cold));

/* UNAVAILABLE, "out of memory": the one answer to lack of memory. Returns -1. */
int registry_problem_no_memory(struct problem *problem) __attribute__((cold));

/* HTTP's name of KIND: "Bad Request"; "OK" for NONE. */
const char *registry_problem_title(enum problem_kind kind);

#endif
