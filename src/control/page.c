/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The status page is one file, page/page.html, which the build turns into an array, so that no file is needed at run time.
 */
#include "control/page.h"

#include "control/reply.h"

static const char page[] = {
#include "control/page/page.inc"
};

void control_page_answer(struct control_reply *reply)
{
	control_reply_text(reply, "text/html; charset=utf-8", page, sizeof(page));
}
