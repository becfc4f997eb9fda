/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_HEALTH_FRONT_DOOR_H
#define WEFT_HEALTH_FRONT_DOOR_H

/*
 * The front door of this host: weft-door's unit and its HAProxy, weftd's door socket, and how they answer.
 */

#include "health/door_ask.h"

#include <sys/types.h>

struct config;
struct health_facts;

#define HEALTH_DOOR_UNIT "weft-door.service"

enum {
	HEALTH_DOOR_PORT = 3002,      /* where the door listens as shipped, on loopback */
	HEALTH_DOOR_NODE_PORT = 5007, /* where E2B's client-proxy dials a host */
};

/* A HAProxy of the door's, in this network namespace: one of the unit, one with the door's files, or whichever listens on its port. */
struct health_door_proxy {
	int pid; /* of its master; 0: none runs, or none is visible */
	bool of_unit;
	char files[240];  /* its configuration, "/usr/share/weft/door/haproxy.cfg /etc/weft/door.d" */
	char version[24]; /* "2.6.12"; "": not asked */
};

/* The file of the door socket. */
struct health_door_socket {
	char path[112]; /* [door] socket; "": there is no door */
	int error;      /* errno of looking at it; 0: the rest is valid */
	mode_t mode;
	gid_t group;
	char owners[80]; /* "root:haproxy" */
};

/* Who listens on one of the door's ports. */
struct health_door_holder {
	bool listens; /* somebody; else the rest is not valid */
	struct addr at;
	int pid;       /* 0: not visible */
	char name[32]; /* of the process */
	unsigned uid;
	bool ours; /* it is the door's HAProxy, as far as can be seen */
};

enum { HEALTH_DOOR_LISTENS_MAX = 8 };

struct health_door {
	bool looked;             /* the rest is valid */
	bool installed, enabled; /* the unit: it is there; it starts with the host */
	struct health_door_proxy proxy;
	struct health_door_socket socket;
	char group_name[40]; /* [door] group; "": none */
	int group_error;     /* of looking for it: ENOENT, there is none; 0: GROUP is it */
	gid_t group;
	struct addr listens[HEALTH_DOOR_LISTENS_MAX]; /* the first addresses of HAProxy */
	size_t listen_count;
	struct health_door_holder local, local6; /* of HEALTH_DOOR_PORT on 127.0.0.1 and ::1 */
	struct health_door_holder node;          /* of HEALTH_DOOR_NODE_PORT */
	struct health_door_answer knock;         /* of weftd, at its socket */
	struct health_door_answer answer;        /* of LOCAL, to who asks for BASE_NAME_OF_CHECKS */
};

/*
 * Looks at the unit, at HAProxy, at the socket of CONFIG, and at who has the ports by the sockets of FACTS. Asks nobody, and is quick
 * where there is no door. Any thread.
 */
void health_door_look(struct health_door *door, const struct config *config, const struct health_facts *facts);

/* Asks weftd and HAProxy, whose version too where it is the unit's; blocks for some seconds at most. */
void health_door_ask_both(struct health_door *door);

/* Whether a door is in use, or is meant to be. */
bool health_door_is_used(const struct health_door *door);

/* "process 812 (nginx) of uid 33". Returns TEXT. */
char *health_door_name_holder(const struct health_door_holder *holder, char text[static 112]);

#endif
