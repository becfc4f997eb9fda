/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CONTROL_PAGE_H
#define WEFT_CONTROL_PAGE_H

#include <stdbool.h>

struct control_reply;

/* Answers with the status page, as it is over TCP or OVER_SOCKET. */
void control_page_answer(struct control_reply *reply, bool over_socket);

#endif
