/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_PLACE_H
#define WEFT_CLI_PLACE_H

#include "cli/cli.h"

/*
 * FIELD of a problem, which names a place in the request ("/ports/0/listen", "drain"), in the words of the command line: "--port 80".
 * BODY of LENGTH bytes is the request's, from which a place without an argument of its own takes its port. The caller frees; "" where
 * there is nothing to name.
 */
char *cli_place_text(const struct cli *cli, const char *field, const char *body, size_t length);

#endif
