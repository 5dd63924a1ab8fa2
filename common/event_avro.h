/* event_avro: what avro-c does for the event module: it parses schemas, writes and reads container files, and decodes what no
 * generated codec knows. Private to common/event_*.c and the generator; event_avro.c alone includes avro.h.
 *
 * avro-c believes lengths, so it sees no byte that was not checked here or in event_file.c: a schema's text is bounded in size
 * and depth, and a datum's bytes are checked against the writer's schema before they are decoded. What is allocated is then
 * bounded by the input's length.
 *
 * Every type of Avro 1.11 is taken: maps, unions, floating point, recursive types. Logical types are read as what they are made
 * of. avro-c keeps one error text for the whole process, and seeds rand() when it opens a writer: one thread at a time. */
#ifndef TANDEM_EVENT_AVRO_H
#define TANDEM_EVENT_AVRO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "err.h"
#include "json.h"
#include "mem.h"
#include "wire.h"

#define EVENT_AVRO_SCHEMA_BYTES_MAX (256 * 1024)
#define EVENT_AVRO_DEPTH_MAX        64        /* values within values */
#define EVENT_AVRO_VALUES_MAX       (1 << 20) /* of one datum */

/* A parsed schema. */
struct event_avro;

/* REJECT "bad_schema": what is wrong with it. The caller's: event_avro_free. */
enum status event_avro_parse(const char *schema, struct event_avro **out, struct err *err);
void event_avro_free(struct event_avro *avro); /* NULL is fine */

/* Checks the next datum's bytes. False: malformed, in->problem says what. The reader moves behind it; more may follow. */
bool event_avro_check(const struct event_avro *avro, struct wire_reader *in);

/* Avro's JSON of one datum that event_avro_check has passed; a new reference, the caller's. NULL: avro-c refuses it. */
json_t *event_avro_to_json(const struct event_avro *avro, const uint8_t *body, size_t len);

/* A container file being written to a stream, which is borrowed. The stream must take every byte: avro-c 1.11.1 does not free
 * its writer when a write fails. codec: null or deflate. False: avro-c refuses it. */
struct event_avro_writer;

bool event_avro_writer_open(const struct event_avro *avro, FILE *stream, const char *codec, size_t block_bytes_max,
                            struct event_avro_writer **out);
bool event_avro_writer_append(struct event_avro_writer *writer, const uint8_t *body, size_t len); /* copied */
bool event_avro_writer_end_block(struct event_avro_writer *writer); /* what was appended is in the stream */
bool event_avro_writer_close(struct event_avro_writer *writer);     /* NULL is fine */

/* One block of a container file being read: count datums in these bytes, each of which event_avro_check has passed. avro-c's
 * file reader gets them as a file of that one block, not compressed. NULL: avro-c refuses it. */
struct event_avro_block;

struct event_avro_block *event_avro_block_open(const struct event_avro *avro, size_t count, const uint8_t *datums,
                                               size_t len);
/* The next of the count datums as Avro binary, in the arena. False: avro-c refuses it. */
bool event_avro_block_next(struct event_avro_block *block, struct arena *arena, const uint8_t **body, size_t *len);
void event_avro_block_close(struct event_avro_block *block); /* NULL is fine */

#endif
