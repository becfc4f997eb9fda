/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CONTROL_PAGE_H
#define WEFT_CONTROL_PAGE_H

struct control_reply;

/* Answers with the status page. */
void control_page_answer(struct control_reply *reply);

#endif
