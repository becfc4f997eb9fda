/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The entries of [egress] allow_host and redirect: read, written and looked up. The lists are short, so a look-up walks them.
 */
#include "config/service.h"

#include "config/config.h"

#include <ctype.h>
#include <string.h>

#define PROXY_V2 ",proxy-v2"
#define UNIX     "unix:"

bool config_service_is_forwarded(const struct config_service *service)
{
	return service->kind == CONFIG_SERVICE_ADDRESS || service->kind == CONFIG_SERVICE_UNIX;
}

bool config_has_forwarded_service(const struct config *config)
{
	for (size_t i = 0; i < config->egress.allow_host.count; i++)
		if (config_service_is_forwarded(&config->egress.allow_host.items[i]))
			return true;
	return false;
}

const struct config_service *config_service_find(const struct config *config, const struct addr *address)
{
	for (size_t i = 0; i < config->egress.allow_host.count; i++)
		if (addr_equal(&config->egress.allow_host.items[i].address, address))
			return &config->egress.allow_host.items[i];
	return NULL;
}

const struct config_redirect *config_redirect_find(const struct config *config, uint16_t port)
{
	const struct config_redirect *rest = NULL;

	for (size_t i = 0; i < config->egress.redirect.count; i++) {
		const struct config_redirect *redirect = &config->egress.redirect.items[i];

		if (redirect->port == port)
			return redirect;
		if (!redirect->port)
			rest = redirect;
	}
	return rest;
}

/* ---- Reading ---- */

static const char *config_service_read_path(const char *path, struct config_service *service)
{
	if (*path != '/')
		return "the path of the unix socket is not absolute";
	if (strlen(path) >= sizeof(service->path))
		return "the path of the unix socket is longer than 107 characters";
	for (const char *c = path; *c; c++)
		if (!isgraph((unsigned char)*c))
			return "blanks or control characters";
	service->kind = CONFIG_SERVICE_UNIX;
	memcpy(service->path, path, strlen(path) + 1);
	return NULL;
}

static const char *config_service_read_target(const char *target, struct config_service *service)
{
	if (strncmp(target, UNIX, strlen(UNIX)) == 0)
		return config_service_read_path(target + strlen(UNIX), service);
	if (addr_port_parse(target, strlen(target), &service->port) == 0) {
		service->kind = CONFIG_SERVICE_PORT;
		return NULL;
	}
	if (addr_parse(target, &service->target) < 0)
		return "behind `=' is neither a port, an address with a port, nor unix:PATH";
	service->kind = CONFIG_SERVICE_ADDRESS;
	return NULL;
}

const char *config_service_parse(const char *text, struct config_service *service)
{
	char copy[CONFIG_SERVICE_TEXT_SIZE + 64];
	size_t length = strlen(text), option = strlen(PROXY_V2);
	const char *why = NULL;

	*service = (struct config_service){ .kind = CONFIG_SERVICE_SAME };
	if (length >= sizeof(copy))
		return "too long";
	memcpy(copy, text, length + 1);
	if (length > option && strcmp(copy + length - option, PROXY_V2) == 0) {
		service->proxy_v2 = true;
		copy[length - option] = '\0';
	}
	char *target = strchr(copy, '=');
	if (target)
		*target++ = '\0';
	if (addr_parse(copy, &service->address) < 0)
		return "not an address with a port";
	if (service->address.any.sa_family != AF_INET)
		return "not IPv4";
	if (target)
		why = config_service_read_target(target, service);
	if (!why && service->proxy_v2 && !config_service_is_forwarded(service))
		why = "the kernel writes no header: proxy-v2 needs =ADDRESS:PORT or =unix:PATH";
	return why;
}

const char *config_redirect_parse(const char *text, struct config_redirect *redirect)
{
	const char *colon = strchr(text, ':');
	size_t length = colon ? (size_t)(colon - text) : 0;
	bool rest = length == 1 && *text == '*';

	*redirect = (struct config_redirect){ 0 };
	if (!colon || addr_port_parse(colon + 1, strlen(colon + 1), &redirect->to) < 0 ||
	    (!rest && addr_port_parse(text, length, &redirect->port) < 0))
		return "not two ports with a colon between";
	return NULL;
}

/* ---- Writing ---- */

char *config_service_format(const struct config_service *service, char text[static CONFIG_SERVICE_TEXT_SIZE])
{
	const char *option = service->proxy_v2 ? PROXY_V2 : "";
	char address[ADDR_TEXT_SIZE], target[ADDR_TEXT_SIZE];

	addr_format(&service->address, address);
	switch (service->kind) {
	case CONFIG_SERVICE_SAME:
		snprintf(text, CONFIG_SERVICE_TEXT_SIZE, "%s%s", address, option);
		break;
	case CONFIG_SERVICE_PORT:
		snprintf(text, CONFIG_SERVICE_TEXT_SIZE, "%s=%u%s", address, service->port, option);
		break;
	case CONFIG_SERVICE_ADDRESS:
		snprintf(text, CONFIG_SERVICE_TEXT_SIZE, "%s=%s%s", address, addr_format(&service->target, target),
			 option);
		break;
	case CONFIG_SERVICE_UNIX:
		snprintf(text, CONFIG_SERVICE_TEXT_SIZE, "%s=%s%s%s", address, UNIX, service->path, option);
		break;
	}
	return text;
}

char *config_redirect_format(const struct config_redirect *redirect, char text[static CONFIG_REDIRECT_TEXT_SIZE])
{
	if (redirect->port)
		snprintf(text, CONFIG_REDIRECT_TEXT_SIZE, "%u:%u", redirect->port, redirect->to);
	else
		snprintf(text, CONFIG_REDIRECT_TEXT_SIZE, "*:%u", redirect->to);
	return text;
}
