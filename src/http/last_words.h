/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_HTTP_LAST_WORDS_H
#define WEFT_HTTP_LAST_WORDS_H

struct bufferevent;

/*
 * Sends what BUFFEREVENT has still to write as far as its socket takes it at once, for one that no loop serves any more and that
 * is about to be freed.
 */
void last_words_send(struct bufferevent *bufferevent);

#endif
