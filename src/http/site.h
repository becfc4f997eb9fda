/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_HTTP_SITE_H
#define WEFT_HTTP_SITE_H

/*
 * Whose page a request comes from. A browser sends requests to this server on behalf of any page that its user has open, and says so
 * in the fields Origin and Sec-Fetch-*; programs send none of them. Pure; any thread.
 */

#include <stdbool.h>
#include <stddef.h>

enum { SITE_ORIGIN_MAX = 300 };

/* The fields of one head. Zeroed before the first. */
struct http_site {
	bool browser;             /* a field that browsers send was there */
	bool other;               /* Sec-Fetch-Site says that the page is of another site, or several fields disagree */
	bool navigates, document; /* a link or the user leads there, for a page of its own */
	bool has_origin;
	char origin[SITE_ORIGIN_MAX + 1]; /* "" if it is longer */
};

enum http_sender {
	SENDER_PROGRAM, /* no browser, as far as one can tell */
	SENDER_OWN,     /* a browser, for a page of this server or by its user's own hand */
	SENDER_LINK,    /* a browser that follows a link from another site to show what is here */
	SENDER_FOREIGN, /* a browser, for a page of another site */
};

/* Notes the field NAME if it says anything of this. Neither is terminated. */
void http_site_read_field(struct http_site *site, const char *name, size_t name_length, const char *value,
			  size_t length);

/* HOST is the Host field, "" if there is none. */
enum http_sender http_site_judge(const struct http_site *site, const char *host);

/*
 * Whether HOST, with or without a port, is an address, "localhost" or "": names that nobody can make lead here. A page of
 * another site whose name is made to lead here (DNS rebinding) sends that name.
 */
bool http_site_is_address(const char *host);

#endif
