/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CONTROL_PAGE_H
#define WEFT_CONTROL_PAGE_H

struct ctl_reply;

/* Answers with the status page. */
void page_answer(struct ctl_reply *reply);

#endif
