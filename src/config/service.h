/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CONFIG_SERVICE_H
#define WEFT_CONFIG_SERVICE_H

/*
 * What the host answers of the guests' own connections: its services ([egress] allow_host), and the local proxies that all TCP of
 * guests is handed to ([egress] redirect).
 */

#include "base/addr.h"
#include "base/vec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/un.h>

struct config;

enum config_service_kind {
	CONFIG_SERVICE_SAME, /* the same port of this host, of TCP and UDP; where ADDRESS is no address of it, redirected */
	CONFIG_SERVICE_PORT,    /* another port of this host, of TCP and UDP: the kernel redirects */
	CONFIG_SERVICE_ADDRESS, /* weftd connects to TARGET as the host; TCP alone */
	CONFIG_SERVICE_UNIX,    /* weftd connects to the unix socket at PATH; TCP alone */
};

/* A service of the host that guests reach at ADDRESS, which need not be an address of the host. */
struct config_service {
	struct addr address; /* IPv4; guests ask there */
	enum config_service_kind kind;
	uint16_t port;      /* CONFIG_SERVICE_PORT */
	struct addr target; /* CONFIG_SERVICE_ADDRESS; either family */
	bool proxy_v2;      /* the target gets a header of the PROXY protocol first; with ADDRESS and UNIX alone */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* CONFIG_SERVICE_UNIX: absolute; ends with a 0 */
};

struct config_service_list {
	VEC_OF(struct config_service);
};

/* Connections of guests to PORT of any address are handed to the port TO of this host. */
struct config_redirect {
	uint16_t port; /* 0: every port that has no redirection of its own */
	uint16_t to;
};

struct config_redirect_list {
	VEC_OF(struct config_redirect);
};

/* Whether weftd connects to SERVICE's target. It then hears about the connection on [egress] service_port. */
bool config_service_is_forwarded(const struct config_service *service);

/* Whether any service of CONFIG is forwarded by weftd, so that it must listen on [egress] service_port. */
bool config_has_forwarded_service(const struct config *config);

/* The service that guests reach at ADDRESS, such as SO_ORIGINAL_DST tells; NULL: there is none. It lives as long as CONFIG. */
const struct config_service *config_service_find(const struct config *config, const struct addr *address);

/* The redirection of the guests' TCP for PORT, 0: of all other ports; NULL: there is none. It lives as long as CONFIG. */
const struct config_redirect *config_redirect_find(const struct config *config, uint16_t port);

/* ---- Their texts ---- */

enum { CONFIG_SERVICE_TEXT_SIZE = 2 * ADDR_TEXT_SIZE + sizeof(((struct sockaddr_un *)0)->sun_path) + 32 };

/* Reads "ADDR:PORT[=PORT|=ADDR:PORT|=unix:PATH][,proxy-v2]". NULL, or what is wrong with it; SERVICE is then undefined. */
const char *config_service_parse(const char *text, struct config_service *service);

/* Writes the same. Returns TEXT. */
char *config_service_format(const struct config_service *service, char text[static CONFIG_SERVICE_TEXT_SIZE]);

/* Reads "PORT:PORT" or "*:PORT". NULL, or what is wrong with it. */
const char *config_redirect_parse(const char *text, struct config_redirect *redirect);

enum { CONFIG_REDIRECT_TEXT_SIZE = 16 };
char *config_redirect_format(const struct config_redirect *redirect, char text[static CONFIG_REDIRECT_TEXT_SIZE]);

#endif
