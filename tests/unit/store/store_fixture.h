/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_TESTS_UNIT_STORE_FIXTURE_H
#define WEFT_TESTS_UNIT_STORE_FIXTURE_H

/*
 * A store in a folder of the test's own, and a registry over the default configuration, whose sandboxes are stored.
 */

#include "base/err.h"
#include "registry/problem.h"
#include "store/store.h"

extern struct config *config;
extern struct registry *registry;
extern struct store *store;
extern struct store_contents contents; /* cleared at the test's end */
extern struct problem problem;
extern struct err err;
extern char root[64], directory[96]; /* the test's folder, and the store's in it */

void store_setup(void);
void store_teardown(void);

/* Removes the folder and the files in it. */
void remove_all(const char *path);

/* The path of a file of the store's. Good until the call after the next. */
char *path_of(const char *name);

/* Writes a file of the store's, for its owner alone. */
void write_file(const char *name, const char *text);

/* Registers what BODY asks for as ID, which must succeed. */
struct sandbox *added(const char *id, const char *body);

/* Saves it, which must succeed. */
void save(const struct sandbox *sandbox);

#endif
