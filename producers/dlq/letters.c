#include "letters.h"

#include "bytes.h"
#include "command.h"
#include "hash.h"
#include "header.h"
#include "installation.h"
#include "redrive.h"
#include "service.h"

#include <inttypes.h>
#include <string.h>

#define SUFFIX ".dlq"

const char *letter_state_name(enum letter_state state)
{
	static const char *const names[LETTER_STATES] = {"open", "redriven", "discarded"};
	return names[state];
}

/* ---- which topic ---- */

static const struct service *reader_of(const char *topic)
{
	for (size_t i = 0; i < command_count; i++)
		if (commands[i]->service && strcmp(commands[i]->service->input, topic) == 0)
			return commands[i]->service;
	return NULL;
}

static enum status choose_topic(struct letters *letters, const char *name, struct err *err)
{
	size_t len = strlen(name), suffix = strlen(SUFFIX);
	if (len > suffix && strcmp(name + len - suffix, SUFFIX) == 0)
		len -= suffix;
	letters->topic = arena_copy(&letters->arena, name, len);
	letters->dlq = arena_format(&letters->arena, "%s%s", letters->topic, SUFFIX);
	const struct service *service = reader_of(letters->topic);
	letters->service = service ? service->name : NULL;
	return service ? OK
	               : err_set(err, REJECT, "usage",
	                         "-t: found %s, expected the input topic of a service, such as orders", name);
}

static enum status find_partitions(struct letters *letters, struct err *err)
{
	bool found;
	enum status status =
		installation_topic(letters->log, letters->dlq, &letters->arena, &letters->genesis, &found, err);
	if (status == OK && !found)
		status = err_set(err, FATAL, "no_genesis", "topic %s is of no installation; see `tandem topics create`",
		                 letters->dlq);
	if (status == OK)
		status = seal_open(letters->genesis.installation, letters->genesis.chain == CHAIN_KEY_KEYED,
		                   log_secret(letters->log), &letters->seal, err);
	if (status != OK)
		return status;
	const struct genesis_topic *topic = genesis_topic(&letters->genesis, letters->topic);
	const struct genesis_topic *dlq = genesis_topic(&letters->genesis, letters->dlq);
	if (!topic || !dlq || topic->partitions != dlq->partitions)
		return err_set(err, FATAL, "bad_genesis", "%s: the genesis does not name %s and its dead letters alike",
		               letters->dlq, letters->topic);
	letters->partitions = topic->partitions;
	letters->of = arena_alloc(&letters->arena, (size_t)topic->partitions * sizeof *letters->of);
	memset(letters->of, 0, (size_t)topic->partitions * sizeof *letters->of);
	return OK;
}

/* ---- one record ---- */

static struct letter *add(struct letters *letters)
{
	if (letters->count == letters->room) {
		letters->room = letters->room ? 2 * letters->room : 256;
		letters->items = mem_realloc(letters->items, letters->room * sizeof *letters->items);
	}
	struct letter *letter = &letters->items[letters->count++];
	*letter = (struct letter){.done_offset = -1};
	return letter;
}

/* Reasons are few: one text for all that have it. */
static const char *reason_of(struct letters *letters, const struct log_record *record)
{
	const struct log_header *header = header_find(record, "kafka_dlt-exception-fqcn");
	size_t len = header && header->value.len > 0 ? (size_t)header->value.len : 0;
	if (!len)
		return "";
	for (size_t i = letters->count; i > 0 && i + 32 > letters->count; i--) {
		const char *known = letters->items[i - 1].reason;
		if (known && strlen(known) == len && memcmp(known, header->value.data, len) == 0)
			return known;
	}
	return arena_copy(&letters->arena, header->value.data, len);
}

static int64_t original_offset(const struct log_record *record)
{
	const struct log_header *header = header_find(record, "kafka_dlt-original-offset");
	int64_t offset = header && header->value.len == 8 ? (int64_t)be64_get(header->value.data) : -1;
	return offset < 0 ? -1 : offset;
}

static void take(struct letters *letters, const struct log_record *record, const struct header_stream *stream)
{
	const char *reason = reason_of(letters, record);
	struct redrive redrive;
	struct letter *letter = add(letters);
	letter->partition = letter->target = record->partition;
	letter->number = stream->number;
	letter->offset = record->offset;
	letter->timestamp_ms = record->timestamp_ms;
	letter->reason = reason;
	letter->key = record->key;
	if (record->key.len >= 0)
		letter->key.data = arena_copy(&letters->arena, record->key.data, (size_t)record->key.len);
	letter->original_offset = original_offset(record);
	if (redrive_parse(record, &redrive) == HEADER_VALID && redrive.partition == record->partition)
		letter->again_of = redrive.number;
	if (strcmp(reason, "wrong_partition") == 0 && record->key.len >= 0)
		letter->target = log_partition_of(record->key.data, (size_t)record->key.len, letters->partitions);
}

/* ---- a partition ---- */

struct walk {
	struct letters *letters;
	struct letters_partition *of;
	bool whole; /* read from the beginning */
	uint64_t number, chain;
};

/* Is it the letter behind the last one? As a reader of any stream decides it; where the beginning is gone the first that is
 * there is believed. */
static bool is_next(const struct walk *walk, const struct log_record *record, const struct header_stream *stream)
{
	const struct letters *letters = walk->letters;
	const uint8_t *key = letters->seal.key;
	if (!walk->whole && !walk->number)
		return true;
	if (stream->number != walk->number + 1)
		return false;
	uint64_t before = walk->number ? walk->chain
	                               : hash_chain_start(key, letters->service, record->partition, letters->dlq,
	                                                  record->partition);
	size_t len = record->value.len > 0 ? (size_t)record->value.len : 0;
	return stream->chain == hash_chain(key, before, stream->number, 0, &record->key, record->value.data, len);
}

static void walk_record(struct walk *walk, const struct log_record *record)
{
	struct header_stream stream;
	if (genesis_is_control(record))
		return;
	bool ours = seal_holds(&walk->letters->seal, walk->letters->dlq, record->partition, record) &&
	            header_stream_parse(record, &stream) == HEADER_VALID && stream.partition == record->partition &&
	            strcmp(stream.service, walk->letters->service) == 0;
	if (ours && is_next(walk, record, &stream)) {
		take(walk->letters, record, &stream);
		walk->of->count++;
		walk->number = stream.number;
		walk->chain = stream.chain;
	} else if (ours &&
	           (stream.number < walk->number || (stream.number == walk->number && stream.chain == walk->chain))) {
		walk->of->repeats++;
	} else if (walk->of->foreign++ == 0) {
		walk->of->foreign_offset = record->offset;
	}
}

static enum status interrupted(const struct letters *letters, struct err *err)
{
	return letters->stopped && letters->stopped() ? err_set(err, RETRY, "interrupted", "interrupted") : OK;
}

static enum status walk_partition(struct letters *letters, int32_t partition, struct err *err)
{
	struct walk walk = {.letters = letters, .of = &letters->of[partition]};
	struct log_reader *reader;
	int64_t low, high;
	walk.of->first = letters->count;
	enum status status = log_bounds(letters->log, letters->dlq, partition, &low, &high, err);
	if (status != OK)
		return status;
	walk.whole = low == 0;
	status = log_reader_open(letters->log, letters->dlq, partition, low, &reader, err);
	if (status != OK)
		return status;
	for (bool more = low < high; status == OK && more;) {
		const struct log_record *record;
		status = log_reader_next(reader, 0, &record, err);
		more = status == OK && record && record->offset < high;
		if (more)
			walk_record(&walk, record);
		more = more && record->offset + 1 < high;
		if (status == OK)
			status = interrupted(letters, err);
	}
	log_reader_close(reader);
	return status;
}

enum status letters_open(struct log *log, const char *topic, bool (*stopped)(void), struct letters *out,
                         struct err *err)
{
	*out = (struct letters){.log = log, .stopped = stopped};
	enum status status = choose_topic(out, topic, err);
	if (status == OK)
		status = find_partitions(out, err);
	for (int32_t p = 0; p < out->partitions && status == OK; p++)
		status = walk_partition(out, p, err);
	return status;
}

void letters_close(struct letters *letters)
{
	mem_free(letters->items);
	arena_fini(&letters->arena);
	*letters = (struct letters){0};
}

struct letter *letters_find(const struct letters *letters, int32_t partition, uint64_t number)
{
	if (partition < 0 || partition >= letters->partitions)
		return NULL;
	const struct letters_partition *of = &letters->of[partition];
	if (!of->count || number < letters->items[of->first].number ||
	    number - letters->items[of->first].number >= of->count)
		return NULL;
	return &letters->items[of->first + (size_t)(number - letters->items[of->first].number)];
}

/* ---- the chosen ones ---- */

static enum status each_of(const struct letters *letters, const struct letters_partition *of,
                           enum status (*each)(void *, const struct letter *, const struct log_record *, struct err *),
                           void *arg, struct err *err)
{
	size_t at = of->first, end = of->first + of->count;
	struct log_reader *reader;
	while (at < end && !letters->items[at].chosen)
		at++;
	if (at == end)
		return OK;
	enum status status = log_reader_open(letters->log, letters->dlq, letters->items[at].partition,
	                                     letters->items[at].offset, &reader, err);
	if (status != OK)
		return status;
	while (status == OK && at < end) {
		const struct letter *letter = &letters->items[at];
		const struct log_record *record;
		status = interrupted(letters, err);
		if (status == OK)
			status = log_reader_next(reader, 0, &record, err);
		if (status == OK && (!record || record->offset > letter->offset))
			status = err_set(err, FATAL, "out_of_range",
			                 "%s/%" PRId32 ": letter %" PRIu64 " at offset %" PRId64 " is gone meanwhile",
			                 letters->dlq, letter->partition, letter->number, letter->offset);
		if (status != OK || record->offset < letter->offset)
			continue;
		status = each(arg, letter, record, err);
		for (at++; at < end && !letters->items[at].chosen;)
			at++;
	}
	log_reader_close(reader);
	return status;
}

enum status letters_each(const struct letters *letters,
                         enum status (*each)(void *arg, const struct letter *letter, const struct log_record *record,
                                             struct err *err),
                         void *arg, struct err *err)
{
	enum status status = OK;
	for (int32_t p = 0; p < letters->partitions && status == OK; p++)
		status = each_of(letters, &letters->of[p], each, arg, err);
	return status;
}
