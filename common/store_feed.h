/* store_feed: the table `feed` of a connection, of store.c alone: nothing but the rows that somebody gives, one after the other. So
 * one execution of a statement writes many rows, and is begun and ended once. */
#ifndef TANDEM_STORE_FEED_H
#define TANDEM_STORE_FEED_H

#include "store.h"

struct sqlite3;

struct store_feed {
	store_feed_next next; /* NULL: the table is empty */
	void *arg;
};

/* The feed outlives the connection. Returns SQLite's code. */
int store_feed_register(struct sqlite3 *db, struct store_feed *feed);

#endif
