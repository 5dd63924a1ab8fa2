/* bare_state: the rows that orders and stock need, by plain statements on SQLite, for bare --state: an order placed and confirmed,
 * units reserved and committed. No sequence, no check of what comes twice, nothing held in front of the statements: what a row costs
 * without Tandem. One connection a process; it belongs to the thread that opened it. Errors end the program. */
#ifndef TANDEM_TESTS_BENCH_BARE_STATE_H
#define TANDEM_TESTS_BENCH_BARE_STATE_H

#include "log.h"

#include <stdint.h>

struct bare_state;

/* $TANDEM_DATA/bare-ROLE.db, WAL, without a sync at COMMIT, 64 MB of pages. */
struct bare_state *bare_state_open(const char *role);
void bare_state_close(struct bare_state *state); /* commits; NULL is fine */

/* The order worker's. order_id: a UUID as text, kept as its 16 bytes. */
void bare_state_place(struct bare_state *state, struct log_bytes order_id, int64_t total_minor, int64_t placed_at);
void bare_state_confirm(struct bare_state *state, struct log_bytes order_id);

/* The inventory worker's. */
void bare_state_receive(struct bare_state *state, struct log_bytes sku, int64_t quantity);
void bare_state_reserve(struct bare_state *state, struct log_bytes order_id, struct log_bytes sku, int64_t quantity);
void bare_state_commit(struct bare_state *state, struct log_bytes order_id);

#endif
