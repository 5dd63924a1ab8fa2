/* hash: SipHash-2-4 with a 64-bit result (libsodium's crypto_shorthash), integers big-endian: every hash of the protocol.
 *
 * Vectors stand in tests/test_hash.c. The key is the installation id, or its secret where genesis says `keyed`. */
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

#endif
