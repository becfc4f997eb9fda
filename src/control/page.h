/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CONTROL_PAGE_H
#define WEFT_CONTROL_PAGE_H

struct reply;

/* Answers with the status page. */
void page_answer(struct reply *reply);

#endif
