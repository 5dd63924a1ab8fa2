#include "seal.h"

#include "bytes.h"
#include "genesis.h"
#include "redrive.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum status seal_open(const uint8_t installation[16], bool keyed, const struct secret *secret, struct seal *out,
                      struct err *err)
{
	*out = (struct seal){.keyed = keyed};
	if (keyed && !secret)
		return err_set(
			err, FATAL, "secret",
			"the chains of this installation are keyed, and no secret was given: --secret-file FILE");
	if (!keyed && secret)
		return err_set(
			err, FATAL, "secret",
			"a secret was given (--secret-file), and the chains of this installation are public: leave it "
			"out, or name the log it belongs to");
	if (!keyed) {
		memcpy(out->key, installation, sizeof out->key);
		return OK;
	}
	hash_derive(secret->bytes, secret->len, "tandem1 chain", installation, out->key);
	hash_derive(secret->bytes, secret->len, "tandem1 proof", installation, out->proof);
	return OK;
}

enum status seal_genesis(const struct log_record *record, const struct genesis *genesis, const struct secret *secret,
                         struct err *err)
{
	struct seal seal;
	enum status status = seal_open(genesis->installation, genesis->chain == CHAIN_KEY_KEYED, secret, &seal, err);
	if (status != OK || seal_holds(&seal, genesis->topic, genesis->partition, record))
		return status;
	return err_set(
		err, FATAL, "secret",
		"the secret (--secret-file) is not the one that %s/%d was created with, or its record 0 is forged: give "
		"the right one, or restore the topic",
		genesis->topic, genesis->partition);
}

/* ---- records ---- */

static uint64_t proof_of(const struct seal *seal, const struct header_stream *stream, const char *topic,
                         int32_t partition, const struct log_record *record)
{
	uint64_t start = hash_chain_start(seal->key, stream->service, stream->partition, topic, partition);
	return hash_proof_event(seal->proof, start, stream->number, stream->chain, record, HEADER_STREAM);
}

void seal_event(const struct seal *seal, struct header_stream *stream, const char *topic,
                const struct log_record *record)
{
	stream->keyed = seal->keyed;
	stream->proof = seal->keyed ? proof_of(seal, stream, topic, record->partition, record) : 0;
}

void seal_list(const struct seal *seal, const struct header_stream *stream, const char *topic,
               const struct log_record *record, const struct header_list *list)
{
	if (!seal->keyed)
		return;
	struct log_record whole = *record;
	whole.headers = list->items;
	whole.header_count = list->count;
	header_set_proof(list, proof_of(seal, stream, topic, record->partition, &whole));
}

void seal_control(const struct seal *seal, const char *topic, int32_t partition, struct arena *arena,
                  struct log_record *record)
{
	uint8_t proof[8];
	struct header_list list;
	if (!seal->keyed)
		return;
	be64_put(proof, hash_proof_control(seal->proof, topic, partition, record, SEAL_CONTROL_HEADER));
	header_list_init(&list, arena, record->header_count + 1);
	for (size_t i = 0; i < record->header_count; i++)
		list.items[list.count++] = record->headers[i];
	header_add(&list, SEAL_CONTROL_HEADER, proof, sizeof proof);
	record->headers = list.items;
	record->header_count = list.count;
}

static bool control_holds(const struct seal *seal, const char *topic, int32_t partition,
                          const struct log_record *record)
{
	const struct log_header *found = header_find(record, SEAL_CONTROL_HEADER);
	return found && found->value.len == 8 &&
	       be64_get(found->value.data) ==
	               hash_proof_control(seal->proof, topic, partition, record, SEAL_CONTROL_HEADER);
}

bool seal_holds(const struct seal *seal, const char *topic, int32_t partition, const struct log_record *record)
{
	struct header_stream stream;
	if (!seal->keyed)
		return true;
	if (genesis_is_control(record))
		return control_holds(seal, topic, partition, record);
	enum header_found found = header_stream_parse(record, &stream);
	if (found == HEADER_NONE)
		return !header_find(record, REDRIVE_HEADER) || control_holds(seal, topic, partition, record);
	return found == HEADER_VALID && stream.keyed &&
	       stream.proof == proof_of(seal, &stream, topic, partition, record);
}

/* ---- marks ---- */

void seal_mark(const struct seal *seal, const char *service, int32_t partition, char *text)
{
	if (seal->keyed)
		snprintf(text + strlen(text), SEAL_MARK_BYTES + 1, " %016" PRIx64,
		         hash_proof_mark(seal->proof, service, partition, text));
}

bool seal_mark_holds(const struct seal *seal, const char *service, int32_t partition, char *text)
{
	char expected[SEAL_MARK_BYTES + 1];
	size_t len = strlen(text);
	if (!seal->keyed)
		return true;
	if (len < SEAL_MARK_BYTES)
		return false;
	char *proof = text + len - SEAL_MARK_BYTES;
	char found[SEAL_MARK_BYTES + 1];
	memcpy(found, proof, sizeof found);
	*proof = 0;
	snprintf(expected, sizeof expected, " %016" PRIx64, hash_proof_mark(seal->proof, service, partition, text));
	return strcmp(found, expected) == 0;
}
