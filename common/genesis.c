#include "genesis.h"

#include "event.h"
#include "seal.h"

#include <inttypes.h>
#include <string.h>

#define ADVICE     "create the installation's topics with `tandem topics create`"
#define BAD_ADVICE "restore the topic, or delete all topics of the installation and create them together"

bool genesis_is_control(const struct log_record *record)
{
	for (size_t i = 0; i < record->header_count; i++)
		if (strcmp(record->headers[i].name, GENESIS_CONTROL_HEADER) == 0)
			return true;
	return false;
}

enum status genesis_record(const struct genesis *genesis, struct arena *arena, struct log_record *out, struct err *err)
{
	static const struct log_header header = {GENESIS_CONTROL_HEADER, {"1", 1}};
	struct buf value = {0};
	enum status status = event_encode(&genesis_type, genesis, &value, err);
	if (status == OK)
		*out = (struct log_record){
			.partition = genesis->partition,
			.key = {NULL, -1},
			.value = {arena_copy(arena, value.data, value.len), (int32_t)value.len},
			.headers = &header,
			.header_count = 1,
		};
	buf_fini(&value);
	return status;
}

const struct genesis_topic *genesis_topic(const struct genesis *genesis, const char *topic)
{
	for (size_t i = 0; i < genesis->topics.count; i++)
		if (strcmp(genesis->topics.items[i].name, topic) == 0)
			return &genesis->topics.items[i];
	return NULL;
}

static enum status check(const struct genesis *genesis, const char *topic, int32_t partition, struct err *err)
{
	if (strcmp(genesis->topic, topic) != 0 || genesis->partition != partition)
		return err_set(err, FATAL, "bad_genesis",
		               "%s/%d begins with the genesis of %s/%d: it is another partition's log;"
		               " " BAD_ADVICE,
		               topic, partition, genesis->topic, genesis->partition);
	const struct genesis_topic *own = genesis_topic(genesis, topic);
	if (!own || partition < 0 || partition >= own->partitions || genesis->topics.count > GENESIS_TOPICS_MAX)
		return err_set(
			err, FATAL, "bad_genesis",
			"the genesis of %s/%d does not count this partition, or lists more than %d topics; " BAD_ADVICE,
			topic, partition, GENESIS_TOPICS_MAX);
	for (size_t i = 0; i < genesis->topics.count; i++) {
		const struct genesis_topic *listed = &genesis->topics.items[i];
		bool twice = genesis_topic(genesis, listed->name) != listed;
		if (listed->partitions < 1 || listed->partitions > GENESIS_PARTITIONS_MAX || twice)
			return err_set(err, FATAL, "bad_genesis",
			               "the genesis of %s/%d gives %.250s %d partitions%s; " BAD_ADVICE, topic,
			               partition, listed->name, listed->partitions,
			               twice ? ", the second time it lists it" : "");
	}
	if (genesis->logic_version < 1)
		return err_set(err, FATAL, "bad_genesis",
		               "the genesis of %s/%d has logic version %d, expected 1 or more; " BAD_ADVICE, topic,
		               partition, genesis->logic_version);
	return OK;
}

enum status genesis_parse(const struct log_record *record, const char *topic, int32_t partition, struct arena *arena,
                          struct genesis *out, struct err *err)
{
	uint64_t fingerprint;
	const uint8_t *body;
	size_t len;
	const struct log_bytes *value = &record->value;
	if (!genesis_is_control(record) || value->len < 0 ||
	    !event_split(value->data, (size_t)value->len, &fingerprint, &body, &len))
		return err_set(
			err, FATAL, "no_genesis",
			"record 0 of %s/%d is no genesis: the topic was not made by `tandem topics create`, which does not write"
			" behind other records; delete the topic, then " ADVICE,
			topic, partition);
	const struct event_type *type = event_type_of_writer(fingerprint);
	if (type != &genesis_type)
		return err_set(err, FATAL, "unknown_version",
		               "record 0 of %s/%d is a control record with schema %016" PRIx64
		               ", which this program does not know; run a newer program, or restore the topic",
		               topic, partition, fingerprint);
	struct err why;
	if (event_decode(type, fingerprint, body, len, arena, out, &why) != OK)
		return err_set(err, FATAL, "bad_genesis", "record 0 of %s/%d cannot be read (%.200s); " BAD_ADVICE,
		               topic, partition, why.text);
	return check(out, topic, partition, err);
}

/* Without record 0: was there ever one? */
static enum status not_found(struct log *log, const char *topic, int32_t partition, struct err *err)
{
	int64_t low, high;
	enum status status = log_bounds(log, topic, partition, &low, &high, err);
	if (status != OK)
		return status;
	if (low == 0)
		return err_set(err, FATAL, "no_genesis", "%s/%d has no record at offset 0; " ADVICE, topic, partition);
	return err_set(err, FATAL, "retention",
	               "%s/%d begins at offset %" PRId64
	               ", expected 0: records are gone, and nothing can be folded without"
	               " them; restore the topic, and set retention.ms=-1 and retention.bytes=-1",
	               topic, partition, low);
}

enum status genesis_check(struct log *log, const struct log_record *record, const char *topic, int32_t partition,
                          struct arena *arena, struct genesis *out, struct err *err)
{
	enum status status = genesis_parse(record, topic, partition, arena, out, err);
	return status == OK && log_secret(log) ? seal_genesis(record, out, log_secret(log), err) : status;
}

enum status genesis_read(struct log *log, const char *topic, int32_t partition, struct arena *arena,
                         struct genesis *out, struct err *err)
{
	struct log_record record;
	bool found;
	enum status status = log_read_at(log, topic, partition, 0, arena, &record, &found, err);
	if (status != OK)
		return status;
	return found ? genesis_check(log, &record, topic, partition, arena, out, err)
	             : not_found(log, topic, partition, err);
}

enum status genesis_same(const struct genesis *expected, const struct genesis *found, struct err *err)
{
	struct arena arena = {0};
	enum status status = OK;
	bool same = expected->topics.count == found->topics.count &&
	            expected->single_replica == found->single_replica && expected->chain == found->chain &&
	            expected->logic_version == found->logic_version;
	for (size_t i = 0; same && i < expected->topics.count; i++) {
		const struct genesis_topic *a = &expected->topics.items[i], *b = genesis_topic(found, a->name);
		same = b && a->partitions == b->partitions && a->headers == b->headers;
	}
	if (memcmp(expected->installation, found->installation, sizeof found->installation) != 0)
		status = err_set(err, FATAL, "installation", "%s/%d is of installation %s, %s/%d of %s; " BAD_ADVICE,
		                 expected->topic, expected->partition, genesis_id_text(expected->installation, &arena),
		                 found->topic, found->partition, genesis_id_text(found->installation, &arena));
	else if (!same)
		status = err_set(
			err, FATAL, "bad_genesis",
			"%s/%d and %s/%d are of one installation, but their genesis records differ in topics, counts or"
			" policy; " BAD_ADVICE,
			expected->topic, expected->partition, found->topic, found->partition);
	arena_fini(&arena);
	return status;
}

const char *genesis_id_text(const uint8_t installation[16], struct arena *arena)
{
	char *text = arena_alloc(arena, 33);
	for (int i = 0; i < 16; i++) {
		text[2 * i] = "0123456789abcdef"[installation[i] >> 4];
		text[2 * i + 1] = "0123456789abcdef"[installation[i] & 15];
	}
	text[32] = 0;
	return text;
}
