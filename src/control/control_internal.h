/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CONTROL_CONTROL_INTERNAL_H
#define WEFT_CONTROL_CONTROL_INTERNAL_H

/* The field of each answer's head that tells the version of the API. Behind control.h. */
#define CONTROL_API_FIELD "Weft-Api-Version: " CONTROL_API_VERSION "\r\n"

struct api;
struct control;

/* The routes, for the listener on TCP: they are the same. */
struct api *control_api(struct control *control);

/* NULL: no socket is kept. */
const struct control_keeper *control_keeper(const struct control *control);

#endif
