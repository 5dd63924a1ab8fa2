/* gated: a service on `orders` for tests of dead letters. What it rejects it may take later, and its rows and outputs say in
 * which order it took what.
 *
 *   OrderPlaced, currency GAT   opens the gate, or shuts it; no output
 *   OrderPlaced, currency EUR   rejected ("shut") while the gate is shut, which it is at first
 *   OrderPlaced otherwise, OrderCancelRequested   taken
 *
 * What is taken becomes a row of `entry` (n counts from 1; what: placed_at, or minus requested_at) and an OrderConfirmed
 * (placed_at as in the row). Events are told apart by their times, not by their keys. */
#ifndef TANDEM_TESTS_GATED_H
#define TANDEM_TESTS_GATED_H

#include "records.h"
#include "service.h"

extern const struct service gated_goes_on, gated_holds;

/* The order_id of key n that belongs to partition 0 of two. */
const char *gated_key(struct records *records, int n);

struct log_record gated_order(struct records *records, const char *order_id, const char *currency, int64_t placed_at);
struct log_record gated_cancel(struct records *records, const char *order_id, int64_t requested_at);
/* Opens or shuts. */
void gated_turn(struct records *records);

/* This record as a redrive of a letter, or a letter given up. */
struct log_record gated_redrive(struct records *records, const struct log_record *record, int32_t partition,
                                uint64_t number);
struct log_record gated_discard(struct records *records, int32_t partition, int64_t number);

/* What was taken, by `what`, with spaces between: "1 2 -3". */
const char *gated_taken(struct records *records);
/* The OrderConfirmed among the last record's outputs, in the same form; a dead letter is "!" and its reason. */
const char *gated_outputs(struct records *records);

#endif
