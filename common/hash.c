#include "hash.h"

#include "bytes.h"

#include <sodium.h>
#include <string.h>

/* crypto_shorthash takes one contiguous input. Small ones are put together on the stack, large ones on the heap. */
#define SMALL_BYTES 4096

struct input {
	uint8_t *at, *start;
	uint8_t small[SMALL_BYTES];
};

static void input_begin(struct input *in, size_t len)
{
	in->start = in->at = len <= sizeof in->small ? in->small : mem_alloc(len);
}

static void put(struct input *in, const void *bytes, size_t len)
{
	if (len)
		memcpy(in->at, bytes, len);
	in->at += len;
}

static void put32(struct input *in, uint32_t v)
{
	be32_put(in->at, v);
	in->at += 4;
}

static void put64(struct input *in, uint64_t v)
{
	be64_put(in->at, v);
	in->at += 8;
}

static uint64_t input_end(struct input *in, const uint8_t *key)
{
	uint64_t hash = hash_bytes(key, in->start, (size_t)(in->at - in->start));
	if (in->start != in->small)
		mem_free(in->start);
	return hash;
}

static size_t len_of(const struct log_bytes *bytes)
{
	return bytes->len > 0 ? (size_t)bytes->len : 0;
}

static void put_bytes(struct input *in, const struct log_bytes *bytes)
{
	put32(in, (uint32_t)bytes->len);
	put(in, bytes->data, len_of(bytes));
}

static size_t header_len(const struct log_header *header)
{
	return strlen(header->name) + 5 + len_of(&header->value);
}

static void put_header(struct input *in, const struct log_header *header)
{
	put(in, header->name, strlen(header->name) + 1);
	put_bytes(in, &header->value);
}

void hash_random(void *out, size_t len)
{
	randombytes_buf(out, len);
}

uint64_t hash_bytes(const uint8_t key[HASH_KEY_BYTES], const void *bytes, size_t len)
{
	_Static_assert(crypto_shorthash_KEYBYTES == HASH_KEY_BYTES, "SipHash-2-4 takes 16 bytes");
	uint64_t hash;
	_Static_assert(crypto_shorthash_BYTES == sizeof hash, "SipHash-2-4 gives 8 bytes");
	crypto_shorthash((uint8_t *)&hash, bytes, len, key);
	return le64toh(hash); /* SipHash's result is a number whose bytes libsodium gives little-endian */
}

uint64_t hash_chain_start(const uint8_t key[HASH_KEY_BYTES], const char *service, int32_t source_partition,
                          const char *topic, int32_t partition)
{
	struct input in;
	input_begin(&in, strlen(service) + strlen(topic) + 10);
	put(&in, service, strlen(service) + 1);
	put32(&in, (uint32_t)source_partition);
	put(&in, topic, strlen(topic) + 1);
	put32(&in, (uint32_t)partition);
	return input_end(&in, key);
}

uint64_t hash_chain(const uint8_t key[HASH_KEY_BYTES], uint64_t previous, uint64_t number, uint64_t fingerprint,
                    const struct log_bytes *record_key, const void *body, size_t body_len)
{
	struct input in;
	input_begin(&in, 28 + len_of(record_key) + body_len);
	put64(&in, previous);
	put64(&in, number);
	put64(&in, fingerprint);
	put_bytes(&in, record_key);
	put(&in, body, body_len);
	return input_end(&in, key);
}

uint64_t hash_record(const uint8_t key[HASH_KEY_BYTES], const struct log_record *record)
{
	size_t len = 28 + len_of(&record->key) + len_of(&record->value);
	for (size_t i = 0; i < record->header_count; i++)
		len += header_len(&record->headers[i]);
	struct input in;
	input_begin(&in, len);
	put64(&in, (uint64_t)record->offset);
	put64(&in, (uint64_t)record->timestamp_ms);
	put_bytes(&in, &record->key);
	put_bytes(&in, &record->value);
	put32(&in, (uint32_t)record->header_count);
	for (size_t i = 0; i < record->header_count; i++)
		put_header(&in, &record->headers[i]);
	return input_end(&in, key);
}

uint64_t hash_running_input(const uint8_t key[HASH_KEY_BYTES], uint64_t previous, uint64_t record_hash)
{
	struct input in;
	input_begin(&in, 16);
	put64(&in, previous);
	put64(&in, record_hash);
	return input_end(&in, key);
}

uint64_t hash_running_output(const uint8_t key[HASH_KEY_BYTES], uint64_t previous, const char *topic, int32_t partition,
                             uint64_t number, uint64_t chain)
{
	struct input in;
	input_begin(&in, 30 + strlen(topic));
	put64(&in, previous);
	put(&in, topic, strlen(topic) + 1);
	put32(&in, (uint32_t)partition);
	put64(&in, number);
	put64(&in, chain);
	return input_end(&in, key);
}

/* ---- keyed ---- */

void hash_derive(const void *secret, size_t len, const char *purpose, const uint8_t installation[16],
                 uint8_t out[HASH_KEY_BYTES])
{
	crypto_generichash_state state;
	uint8_t whole[crypto_generichash_BYTES];
	crypto_generichash(whole, sizeof whole, secret, len, NULL, 0);
	crypto_generichash_init(&state, whole, sizeof whole, HASH_KEY_BYTES);
	crypto_generichash_update(&state, (const uint8_t *)purpose, strlen(purpose));
	crypto_generichash_update(&state, installation, 16);
	crypto_generichash_final(&state, out, HASH_KEY_BYTES);
	sodium_memzero(whole, sizeof whole);
	sodium_memzero(&state, sizeof state);
}

void hash_wipe(void *secret, size_t len)
{
	sodium_memzero(secret, len);
}

enum proof { PROOF_EVENT = 1, PROOF_CONTROL, PROOF_MARK };

static void put_kind(struct input *in, enum proof kind)
{
	*in->at++ = (uint8_t)kind;
}

static size_t content_len(const struct log_record *record)
{
	size_t len = 12 + len_of(&record->key) + len_of(&record->value);
	for (size_t i = 0; i < record->header_count; i++)
		len += header_len(&record->headers[i]);
	return len;
}

static void put_content(struct input *in, const struct log_record *record, const char *but)
{
	uint32_t count = 0;
	for (size_t i = 0; i < record->header_count; i++)
		count += strcmp(record->headers[i].name, but) != 0;
	put_bytes(in, &record->key);
	put_bytes(in, &record->value);
	put32(in, count);
	for (size_t i = 0; i < record->header_count; i++)
		if (strcmp(record->headers[i].name, but) != 0)
			put_header(in, &record->headers[i]);
}

uint64_t hash_proof_event(const uint8_t key[HASH_KEY_BYTES], uint64_t start, uint64_t number, uint64_t chain,
                          const struct log_record *record, const char *but)
{
	struct input in;
	input_begin(&in, 25 + content_len(record));
	put_kind(&in, PROOF_EVENT);
	put64(&in, start);
	put64(&in, number);
	put64(&in, chain);
	put_content(&in, record, but);
	return input_end(&in, key);
}

uint64_t hash_proof_control(const uint8_t key[HASH_KEY_BYTES], const char *topic, int32_t partition,
                            const struct log_record *record, const char *but)
{
	struct input in;
	input_begin(&in, 6 + strlen(topic) + content_len(record));
	put_kind(&in, PROOF_CONTROL);
	put(&in, topic, strlen(topic) + 1);
	put32(&in, (uint32_t)partition);
	put_content(&in, record, but);
	return input_end(&in, key);
}

uint64_t hash_proof_mark(const uint8_t key[HASH_KEY_BYTES], const char *service, int32_t partition, const char *text)
{
	struct input in;
	input_begin(&in, 6 + strlen(service) + strlen(text));
	put_kind(&in, PROOF_MARK);
	put(&in, service, strlen(service) + 1);
	put32(&in, (uint32_t)partition);
	put(&in, text, strlen(text));
	return input_end(&in, key);
}
