/* seal: the keys of an installation's hashes, and what proves that a record or a mark was written by one who has its secret.
 *
 * Where genesis says `public`, K is the installation id: hashes protect against faults, and there are no proofs. Where it says
 * `keyed`, K and the proofs' key are derived from the secret and the installation id; every numbered record carries a proof in
 * its `tandem` header (version 2), every control record and every redrive in a header `tandem-proof` (8 bytes), every mark at its end. A chain
 * shows in what order events came; a proof shows by itself that one is genuine, whatever came before it. So what does not
 * verify says nothing: it is no gap, no fork, no number. docs/protocol.md, docs/security.md.
 *
 * A seal is a plain value; functions are pure and thread-safe. */
#ifndef TANDEM_SEAL_H
#define TANDEM_SEAL_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "events.h"
#include "hash.h"
#include "header.h"
#include "log.h"
#include "secret.h"

#define SEAL_CONTROL_HEADER "tandem-proof"
#define SEAL_MARK_BYTES     17 /* what a proof adds to a mark: a space and 16 hex digits */

struct seal {
	bool keyed;
	uint8_t key[HASH_KEY_BYTES];   /* K: of chains, record hashes, running hashes, content hashes */
	uint8_t proof[HASH_KEY_BYTES]; /* of a keyed one */
};

/* FATAL "secret": keyed, and no secret (NULL); or public, and a secret. Whether the secret is the right one is seal_genesis's to
 * say. */
enum status seal_open(const uint8_t installation[16], bool keyed, const struct secret *secret, struct seal *out,
                      struct err *err);

/* Was record 0 written by one who has the secret? FATAL "secret" where not, or where seal_open says so. */
enum status seal_genesis(const struct log_record *record, const struct genesis *genesis, const struct secret *secret,
                         struct err *err);

/* ---- writing ---- */

/* Sets keyed and proof of a stream's header. topic is where the record goes, without the namespace; the record has all its other
 * headers. */
void seal_event(const struct seal *seal, struct header_stream *stream, const char *topic,
                const struct log_record *record);
/* The same for a record whose headers are in a list, that of the stream among them. */
void seal_list(const struct seal *seal, const struct header_stream *stream, const char *topic,
               const struct log_record *record, const struct header_list *list);
/* Adds the proof to a control record or a redrive, in the arena; nothing where the chains are public. */
void seal_control(const struct seal *seal, const char *topic, int32_t partition, struct arena *arena,
                  struct log_record *record);

/* ---- reading ---- */

/* False: the record claims to be a worker's, a control record or a redrive and does not verify: it is forged. True: it verifies, claims
 * nothing (a publisher's), or the chains are public. */
bool seal_holds(const struct seal *seal, const char *topic, int32_t partition, const struct log_record *record);

/* ---- marks ---- */

/* Appends the proof to a mark's text (room for SEAL_MARK_BYTES more and the NUL); nothing where the chains are public. */
void seal_mark(const struct seal *seal, const char *service, int32_t partition, char *text);
/* Takes it off again. False: it is not genuine, and so no mark. */
bool seal_mark_holds(const struct seal *seal, const char *service, int32_t partition, char *text);

#endif
