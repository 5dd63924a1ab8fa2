/* generate: orders out of a seed, each by its number alone, so that any run of the same options gives the same ones. */
#ifndef TANDEM_PUBLISH_GENERATE_H
#define TANDEM_PUBLISH_GENERATE_H

#include <stdint.h>

#include "publish.h"

enum generate_ids {
	GENERATE_TIME,   /* UUIDs of version 7 (RFC 9562): they grow with the order's number */
	GENERATE_RANDOM, /* of version 4 */
};

struct generate_options {
	enum publish_only only;
	uint64_t seed;
	int64_t orders;
	int64_t skus;        /* >= 1 */
	int64_t hot_percent; /* of the lines fall on the first hot_skus SKUs, the others on all of them evenly */
	int64_t hot_skus;
	int64_t lines_min, lines_max; /* an order's, 1 <= min <= max <= GENERATE_LINES_MAX */
	int64_t stock;                /* units of each SKU received first; 0: no receipts */
	int64_t cancel_one_in;        /* 0: none */
	enum generate_ids ids;
};

#define GENERATE_LINES_MAX   4096
#define GENERATE_CANCEL_LAG  100
#define GENERATE_START_MS    1767225600000 /* 2026-01-01: the first order's time; each later one is 10 ms later */
#define GENERATE_INTERVAL_MS 10

/* Receipts of stock, then orders, each cancel GENERATE_CANCEL_LAG orders behind its own. Stops at the first status of
 * the sink that is not OK. */
enum status generate_each(const struct generate_options *options, const struct publish_sink *sink, struct err *err);

/* The id of order number n, from 0: 36 characters and a NUL. */
void generate_id(const struct generate_options *options, uint64_t n, char out[37]);

#endif
