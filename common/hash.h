/* hash: SipHash-2-4 with a 64-bit result (libsodium's crypto_shorthash), integers big-endian: every hash of the protocol.
 *
 * Vectors stand in tests/test_hash.c. The key K is the installation id, or derived from its secret where genesis says `keyed`
 * (seal.h). Thread-safe; but for hash_random and hash_wipe pure functions. */
#ifndef TANDEM_HASH_H
#define TANDEM_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "log.h"

#define HASH_KEY_BYTES 16

/* The system's random numbers (randombytes_buf); for seam_system alone. */
void hash_random(void *out, size_t len);

uint64_t hash_bytes(const uint8_t key[HASH_KEY_BYTES], const void *bytes, size_t len);

/* chain(0): H(K, service 00 source partition (4) topic 00 partition (4)). */
uint64_t hash_chain_start(const uint8_t key[HASH_KEY_BYTES], const char *service, int32_t source_partition,
                          const char *topic, int32_t partition);

/* chain(n): H(K, chain(n-1) (8) n (8) fingerprint (8) key length (4, -1 for null) key body). */
uint64_t hash_chain(const uint8_t key[HASH_KEY_BYTES], uint64_t previous, uint64_t number, uint64_t fingerprint,
                    const struct log_bytes *record_key, const void *body, size_t body_len);

/* The hash of a record as it was delivered: offset, key, value, headers in order, timestamp. */
uint64_t hash_record(const uint8_t key[HASH_KEY_BYTES], const struct log_record *record);

/* Running hashes: H(K, previous (8) hash (8)), and of an output H(K, previous (8) topic 00 partition (4) number (8) chain
 * (8)). Both begin at 0. */
uint64_t hash_running_input(const uint8_t key[HASH_KEY_BYTES], uint64_t previous, uint64_t record_hash);
uint64_t hash_running_output(const uint8_t key[HASH_KEY_BYTES], uint64_t previous, const char *topic, int32_t partition,
                             uint64_t number, uint64_t chain);

/* ---- where genesis says `keyed` (seal.h) ---- */

/* A key of its own for each purpose and installation: BLAKE2b-128(key: BLAKE2b-256(secret), purpose installation). */
void hash_derive(const void *secret, size_t len, const char *purpose, const uint8_t installation[16],
                 uint8_t out[HASH_KEY_BYTES]);
void hash_wipe(void *secret, size_t len); /* zeros that no compiler leaves out */

/* Proofs: who wrote it had the secret. P is their key.
 *   of an event    H(P, 1 (1) chain(0) of its stream (8) number (8) chain (8) key length (4) key value length (4) value
 *                      header count (4) {name 00 value length (4) value}...), all headers in order but those called `but`
 *   of a control record, of a redrive
 *                        H(P, 2 (1) topic 00 partition (4) key length (4) key value length (4) value headers as above)
 *   of a mark            H(P, 3 (1) service 00 partition (4) text) */
uint64_t hash_proof_event(const uint8_t key[HASH_KEY_BYTES], uint64_t start, uint64_t number, uint64_t chain,
                          const struct log_record *record, const char *but);
uint64_t hash_proof_control(const uint8_t key[HASH_KEY_BYTES], const char *topic, int32_t partition,
                            const struct log_record *record, const char *but);
uint64_t hash_proof_mark(const uint8_t key[HASH_KEY_BYTES], const char *service, int32_t partition, const char *text);

#endif
