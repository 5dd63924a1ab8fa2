/* header: the record headers of the protocol (the exact bytes stand in docs/wire.md).
 *
 * Every numbered record carries one header `tandem`: version 1 (1 byte), source partition (4), number (8), chain hash (8),
 * all big-endian, then the source service's name. In an installation with keyed chains it is version 2, with the record's
 * proof (8, seal.h) between chain and name. Topics for outside readers carry CloudEvents 1.0 (Kafka binding, binary
 * mode) beside it. Values point into the arena they were built in. */
#ifndef TANDEM_HEADER_H
#define TANDEM_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "log.h"

#define HEADER_STREAM          "tandem"
#define HEADER_STREAM_ORIGINAL "tandem_dlt_original"
#define HEADER_TRACE           "traceparent"
#define HEADER_SERVICE_MAX     64 /* bytes of a service's name */

struct header_stream {
	char service[HEADER_SERVICE_MAX + 1];
	int32_t partition;
	uint64_t number, chain;
	bool keyed;     /* version 2 */
	uint64_t proof; /* of a keyed one */
};

enum header_found {
	HEADER_NONE,      /* no such header */
	HEADER_VALID,     /* exactly one, well-formed */
	HEADER_MALFORMED, /* doubled, too short, without a name, or number 0 */
	HEADER_NEWER,     /* of a higher version than this program knows */
};

enum header_found header_stream_parse(const struct log_record *record, struct header_stream *out);

/* The first header of this name; NULL: none. */
const struct log_header *header_find(const struct log_record *record, const char *name);

/* A list under construction. */
struct header_list {
	struct log_header *items; /* in the arena */
	size_t count, room;
	struct arena *arena;
	uint8_t *stream; /* of the `tandem` header; NULL: none was added */
};

void header_list_init(struct header_list *list, struct arena *arena, size_t room);
void header_add(struct header_list *list, const char *name, const void *value,
                size_t len);                                                            /* value copied, name kept */
void header_add_constant(struct header_list *list, const char *name, const char *text); /* text kept, not copied */
void header_add_text(struct header_list *list, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void header_add_be32(struct header_list *list, const char *name, int32_t value);
void header_add_be64(struct header_list *list, const char *name, int64_t value);
void header_add_stream(struct header_list *list, const struct header_stream *stream);
/* Of the list's keyed `tandem` header, which was built by header_add_stream. */
void header_set_proof(const struct header_list *list, uint64_t proof);

/* A W3C traceparent, read. */
struct header_trace {
	uint8_t id[16];
	uint64_t span;
	bool sampled;
};

/* False, and nothing is written: it is none that is carried on. */
bool header_trace_parse(const struct log_header *header, struct header_trace *out);
/* The text of one: 00-<32 hex>-<16 hex>-01 or -00. */
#define HEADER_TRACE_ROOM 56
void header_trace_print(const struct header_trace *trace, char out[HEADER_TRACE_ROOM]);

/* W3C traceparent: is it one that is carried on (version 00, ids not all zero)? */
bool header_trace_valid(const struct log_header *header);
/* The same trace with another span id. */
void header_add_trace(struct header_list *list, const struct log_header *parent, uint64_t span);

#endif
