/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two views of the same holdings. An ordered set of (protocol, port, family, address) finds the holder of an address in O(log
 * n). For each protocol, a bitmap marks the ports that no automatic endpoint can have, because they are held on 127.0.0.1, on
 * ::1, or on a wildcard address.
 *
 * A wildcard excludes every address of its family. Holdings are counted for each port and family, so that only a request that
 * will be refused has to search all of them.
 *
 * Ports that another program was found to have are avoided for a while, in a list ordered by the time of release.
 */
#include "registry/ports.h"

#include "base/clock.h"
#include "base/queue.h"
#include "registry/bitmap.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

enum {
	PORTS = 65536,
	PROTOS = PROTO_UDP + 1,
	FAMILIES = 2,       /* IPv4, IPv6 */
	RELEASE_MS = 60000, /* until a port that another program had is tried again */
};

struct port_holding {
	enum proto proto;
	struct addr addr;
	struct sandbox *sandbox; /* NULL: weftd itself */
	const char *name;
};

struct port_avoided {
	TAILQ_ENTRY(port_avoided) next;
	uint16_t port;
	uint64_t until_ms; /* monotonic */
};

struct registry_ports {
	uint16_t first, last;
	void *holdings; /* tsearch(3) tree of struct port_holding */
	uint32_t uses[PROTOS][FAMILIES][PORTS];
	uint8_t loopback_uses[PROTOS][PORTS]; /* of 127.0.0.1, ::1, 0.0.0.0 and ::, so 4 at most */
	uint64_t unfit[PROTOS][BITMAP_WORDS(PORTS)];
	uint64_t avoided[BITMAP_WORDS(PORTS)];
	TAILQ_HEAD(, port_avoided) avoided_list; /* by until_ms */
};

struct registry_ports *registry_ports_new(uint16_t first, uint16_t last)
{
	struct registry_ports *ports = calloc(1, sizeof(*ports));

	if (!ports)
		return NULL;
	ports->first = first;
	ports->last = last;
	TAILQ_INIT(&ports->avoided_list);
	return ports;
}

void registry_ports_free(struct registry_ports *ports)
{
	struct port_avoided *avoided, *next;

	if (!ports)
		return;
	TAILQ_FOREACH_SAFE(avoided, &ports->avoided_list, next, next)
	free(avoided);
	tdestroy(ports->holdings, free);
	free(ports);
}

static int registry_ports_family_index(const struct addr *addr)
{
	return addr->any.sa_family == AF_INET6;
}

static int registry_ports_compare_holdings(const void *left, const void *right)
{
	const struct port_holding *a = left, *b = right;
	const struct addr *x = &a->addr, *y = &b->addr;

	if (a->proto != b->proto)
		return (int)a->proto - (int)b->proto;
	if (addr_port(x) != addr_port(y))
		return addr_port(x) - addr_port(y);
	if (x->any.sa_family != y->any.sa_family)
		return x->any.sa_family - y->any.sa_family;
	if (x->any.sa_family == AF_INET6)
		return memcmp(&x->in6.sin6_addr, &y->in6.sin6_addr, sizeof(x->in6.sin6_addr));
	return memcmp(&x->in.sin_addr, &y->in.sin_addr, sizeof(x->in.sin_addr));
}

static struct port_holding *registry_ports_find_holding(const struct registry_ports *ports, enum proto proto,
							const struct addr *addr)
{
	struct port_holding key = { .proto = proto, .addr = *addr };
	struct port_holding **node = tfind(&key, &ports->holdings, registry_ports_compare_holdings);

	return node ? *node : NULL;
}

static struct addr registry_ports_wildcard_of(const struct addr *addr)
{
	struct addr wildcard = { .any.sa_family = addr->any.sa_family };

	addr_set_port(&wildcard, addr_port(addr));
	return wildcard;
}

/* Whether ADDR excludes an automatic endpoint, which needs 127.0.0.1 and ::1. */
static bool registry_ports_blocks_loopback(const struct addr *addr)
{
	struct addr loopback4 = addr_from_ipv4(INADDR_LOOPBACK, addr_port(addr));
	struct addr loopback6 = addr_loopback6(addr_port(addr));

	return addr_is_wildcard(addr) || addr_equal(addr, &loopback4) || addr_equal(addr, &loopback6);
}

struct port_search {
	enum proto proto;
	const struct addr *addr;
	struct port_holding *found;
};

static void registry_ports_visit(const void *node, VISIT visit, void *context)
{
	struct port_holding *holding = *(struct port_holding *const *)node;
	struct port_search *search = context;

	if ((visit == postorder || visit == leaf) && !search->found && holding->proto == search->proto &&
	    registry_spec_listen_collides(&holding->addr, search->addr))
		search->found = holding;
}

static struct port_holding *registry_ports_find_obstacle(const struct registry_ports *ports, enum proto proto,
							 const struct addr *addr)
{
	struct addr wildcard = registry_ports_wildcard_of(addr);
	struct port_search search = { .proto = proto, .addr = addr };
	struct port_holding *holding;

	if (!ports->uses[proto][registry_ports_family_index(addr)][addr_port(addr)])
		return NULL;
	holding = registry_ports_find_holding(ports, proto, addr);
	if (!holding)
		holding = registry_ports_find_holding(ports, proto, &wildcard);
	if (!holding && addr_is_wildcard(addr)) {
		twalk_r(ports->holdings, registry_ports_visit, &search);
		holding = search.found;
	}
	return holding;
}

int registry_ports_hold(struct registry_ports *ports, enum proto proto, const struct addr *addr,
			struct sandbox *sandbox, const char *name, struct port_holder *holder)
{
	struct port_holding *holding = registry_ports_find_obstacle(ports, proto, addr);
	uint16_t port = addr_port(addr);

	if (holding) {
		*holder = (struct port_holder){
			.sandbox = holding->sandbox,
			.name = holding->name,
			.addr = holding->addr,
		};
		return 1;
	}
	holding = malloc(sizeof(*holding));
	if (!holding)
		return -1;
	*holding = (struct port_holding){ .proto = proto, .addr = *addr, .sandbox = sandbox, .name = name };
	if (!tsearch(holding, &ports->holdings, registry_ports_compare_holdings)) {
		free(holding);
		return -1;
	}
	ports->uses[proto][registry_ports_family_index(addr)][port]++;
	if (registry_ports_blocks_loopback(addr) && ports->loopback_uses[proto][port]++ == 0)
		registry_bitmap_add(ports->unfit[proto], port);
	return 0;
}

void registry_ports_release(struct registry_ports *ports, enum proto proto, const struct addr *addr)
{
	struct port_holding *holding = registry_ports_find_holding(ports, proto, addr);
	uint16_t port = addr_port(addr);

	if (!holding)
		return;
	tdelete(holding, &ports->holdings, registry_ports_compare_holdings);
	free(holding);
	ports->uses[proto][registry_ports_family_index(addr)][port]--;
	if (registry_ports_blocks_loopback(addr) && --ports->loopback_uses[proto][port] == 0)
		registry_bitmap_drop(ports->unfit[proto], port);
}

static void registry_ports_drop_avoided(struct registry_ports *ports, struct port_avoided *avoided)
{
	TAILQ_REMOVE(&ports->avoided_list, avoided, next);
	registry_bitmap_drop(ports->avoided, avoided->port);
	free(avoided);
}

static void registry_ports_release_expired(struct registry_ports *ports)
{
	uint64_t now_ms = clock_now_ms();
	struct port_avoided *avoided;

	while ((avoided = TAILQ_FIRST(&ports->avoided_list)) && avoided->until_ms <= now_ms)
		registry_ports_drop_avoided(ports, avoided);
}

uint16_t registry_ports_lowest_free(struct registry_ports *ports, enum proto proto)
{
	unsigned port;

	registry_ports_release_expired(ports);
	port = registry_bitmap_lowest_absent(ports->unfit[proto], ports->avoided, ports->first, ports->last);
	return port <= ports->last ? (uint16_t)port : 0;
}

void registry_ports_usage(struct registry_ports *ports, enum proto proto, unsigned *held, unsigned *avoided)
{
	*held = *avoided = 0;
	registry_ports_release_expired(ports);
	for (unsigned port = ports->first; port <= ports->last; port++) {
		*held += registry_bitmap_has(ports->unfit[proto], port);
		*avoided += registry_bitmap_has(ports->avoided, port);
	}
}

void registry_ports_avoid(struct registry_ports *ports, uint16_t port)
{
	struct port_avoided *avoided;

	TAILQ_FOREACH(avoided, &ports->avoided_list, next)
	{
		if (avoided->port == port)
			break;
	}
	if (avoided) {
		registry_ports_drop_avoided(ports, avoided);
	}
	avoided = malloc(sizeof(*avoided));
	if (!avoided)
		return; /* the port is tried too early, and found to be taken again */
	*avoided = (struct port_avoided){ .port = port, .until_ms = clock_now_ms() + RELEASE_MS };
	TAILQ_INSERT_TAIL(&ports->avoided_list, avoided, next);
	registry_bitmap_add(ports->avoided, port);
}
