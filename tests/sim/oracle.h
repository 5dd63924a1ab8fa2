/* oracle: what the business rules make of what stands in one log, in plain C over arrays. It knows nothing of sequences,
 * chains, SQLite or workers: it is told what a service was given, in order, and says what must come of it.
 *
 * Separate from the services on purpose: rules are written down here a second time, from the design. */
#ifndef TANDEM_SIM_ORACLE_H
#define TANDEM_SIM_ORACLE_H

#include "events.h"
#include "log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct oracle_given {
	const struct event_type *type; /* NULL: it cannot be read */
	const void *event;
	int32_t from; /* the partition that sent it; -1: a publisher */
	const struct log_record *record;
	bool discarded; /* a control record: a letter that is given up */
};

enum oracle_to { TO_INVENTORY, TO_ORDERS, TO_EVENTS, TO_DEAD_LETTERS };

struct oracle_output {
	enum oracle_to to;
	int32_t partition;
	const struct event_type *type;
	const void *event; /* NULL: a dead letter of this record */
	const struct log_record *record;
	int64_t cause; /* the offset of the record that it comes of */
};

enum oracle_end { OPEN = 1, DONE = 2, SHORT = 3, DEAD = 4 }; /* an order's status, as it is kept */

struct oracle_order {
	const struct order_placed *placed; /* NULL: only a cancel has come */
	const struct order_cancel_requested *cancel;
	enum oracle_end end;
	int64_t total;
	char answer[16]; /* by inventory partition: 0 not asked, 'W' waiting, 'R' reserved, 'X' refused, 'L' released */
};

struct oracle_stock {
	const char *sku;
	int64_t on_hand, reserved, received;
};

struct oracle_hold {
	const struct reserve_stock *command;
	int state; /* 1 reserved, 2 committed, 3 released, 4 refused */
	const struct stock_rejected *refusal;
};

struct oracle_letter { /* a dead letter that was redriven or discarded */
	int32_t partition;
	uint64_t number;
};

struct oracle_place { /* in the order of one key: an open letter, or a record that waits behind one */
	struct log_bytes key;
	uint64_t letter;                  /* its number; 0: it waits */
	const struct oracle_given *given; /* what waits */
	bool gone;
};

/* One partition of one service: arrays that grow in the arena. */
struct oracle {
	struct arena *arena;
	int32_t partition, own_count, inventory_count; /* partitions of its own topic, and of inventory */
	bool holds_keys;                               /* of what is rejected */
	struct oracle_order *orders;
	struct oracle_stock *stock;
	struct oracle_hold *holds;
	const struct stock_received **receipts;
	struct oracle_output *outputs;
	struct oracle_letter *done;
	struct oracle_place *places; /* of all keys, each key's in order */
	size_t order_count, stock_count, hold_count, receipt_count, output_count, done_count, place_count;
	uint64_t letters;                                                           /* dead letters sent */
	void (*publisher)(struct oracle *oracle, const struct oracle_given *given); /* what the service does with one */
	int64_t cause;      /* the offset of what it is being given */
	const char *absurd; /* it was given what cannot be; NULL: it was not */
};

void oracle_take_order(struct oracle *oracle, const struct oracle_given *given);     /* a record of `orders` */
void oracle_take_inventory(struct oracle *oracle, const struct oracle_given *given); /* ... of `inventory` */

/* ---- inside ---- */

/* Room for one more, which it gives; the array may move. */
#define ORACLE_GROW(oracle, array, count)                                                                              \
	((array) = oracle_grow((oracle)->arena, (array), (count), sizeof *(array)), &(array)[(count)++])
void *oracle_grow(struct arena *arena, void *old, size_t count, size_t size);

void oracle_dead_letter(struct oracle *oracle, const struct oracle_given *given);

/* oracle_letters.c: a publisher's record, or a letter given up; dlq: where the service's letters go. */
void oracle_take_publisher(struct oracle *oracle, const struct oracle_given *given, const char *dlq);

#endif
