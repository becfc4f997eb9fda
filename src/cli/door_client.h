/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_DOOR_CLIENT_H
#define WEFT_CLI_DOOR_CLIENT_H

/*
 * A client of the front door at a URL, which asks for the id that no sandbox has. TLS is openssl's, run as a program: weftctl has none
 * of its own.
 */

#include "health/findings.h"

#include <stdbool.h>
#include <stdint.h>

struct err;

#define CLI_DOOR_URL "http://127.0.0.1:3002"

struct cli_door_url {
	bool tls;
	bool named;     /* sandboxes have host names of their own under HOST; else headers name them */
	char host[254]; /* without brackets */
	uint16_t port;
	char asked[300]; /* the host name of the asked sandbox: HOST, or "80-weftdoorcheck.HOST" */
	char field[312]; /* for the header Host: with brackets and port as need be */
};

/* Reads "http://127.0.0.1:3002" or "https://box.example". 0, or -1 with ERR. */
int cli_door_url_read(const char *text, struct cli_door_url *url, struct err *err);

/* Asks there and adds what it finds: dns, answer, tls. */
void cli_door_client_check(const struct cli_door_url *url, struct health_report *report);

/* "2.6.12", of the program haproxy in PATH; "" where there is none or it does not say. Returns TEXT. */
char *cli_door_client_version(char *text, size_t size);

#endif
