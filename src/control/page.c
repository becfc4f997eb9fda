/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The status page is one file, which the build joins from those in page/ and turns into an array, so that no file is needed at run
 * time. It has a mark that says by which way it was served, because a reader over TCP may not start a diagnosis.
 */
#include "control/page.h"

#include "control/reply.h"

#include <stdlib.h>
#include <string.h>

static const char page[] = {
#include "control/page/page.inc"
};

static const char page_mark[] = "data-way=\"tcp   \"", page_mark_socket[] = "data-way=\"socket\"";

void control_page_answer(struct control_reply *reply, bool over_socket)
{
	/* The page itself is what a reader over TCP gets, who is not to cost memory. */
	if (!over_socket) {
		control_reply_page(reply, page, sizeof(page));
		return;
	}
	char *copy = malloc(sizeof(page));
	if (!copy) {
		control_reply_refusal(reply, 503, NULL, "out of memory", NULL);
		return;
	}
	memcpy(copy, page, sizeof(page));
	char *mark = memmem(copy, sizeof(page), page_mark, sizeof(page_mark) - 1);
	if (mark)
		memcpy(mark, page_mark_socket, sizeof(page_mark_socket) - 1);
	control_reply_page(reply, copy, sizeof(page));
	free(copy);
}
