/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CONTROL_CONTROL_INTERNAL_H
#define WEFT_CONTROL_CONTROL_INTERNAL_H

struct api;
struct control;

/* The routes, for the listener on TCP: they are the same. */
struct api *control_api(struct control *control);

#endif
