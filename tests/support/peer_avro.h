/* peer_avro: what another implementation, avro-c, makes of our bytes, and the bytes it writes. */
#ifndef TANDEM_TESTS_PEER_AVRO_H
#define TANDEM_TESTS_PEER_AVRO_H

#include "bytes.h"
#include "json.h"

struct peer;

struct peer *peer_open(const char *schema); /* NULL: avro-c does not take it */
void peer_close(struct peer *peer);

/* avro-c's JSON of this datum; a new reference. NULL: it cannot read it, or does not consume all of it. */
json_t *peer_read(struct peer *peer, const uint8_t *body, size_t len);

/* Encodes Avro JSON with avro-c's encoder, value by value through its setters. False: it cannot. */
bool peer_write(struct peer *peer, const json_t *json, struct buf *out);

/* Container files. A file of these datums, with avro-c's codec of this name; all datums of a file as JSON (NULL: it cannot). */
bool peer_file_write(struct peer *peer, const char *path, const char *codec, const json_t *datums);
json_t *peer_file_read(const char *path);

#endif
