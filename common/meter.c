#include "meter.h"

#include "event.h"
#include "header.h"
#include "mem.h"
#include "metrics.h"

#include <string.h>

#define TYPES_MAX   32 /* that were seen; more count as unknown */
#define REASONS_MAX 64
#define WAYS        8 /* places that a key may be remembered in */

struct by_result {
	int64_t count;
	struct histogram us;
};

struct type {
	const char *name;
	uint64_t fingerprint; /* of the writer schema seen last */
	bool publishers;
	struct by_result results[TASK_VERDICTS];
};

struct reason {
	const char *code; /* static storage, as every code's */
	bool halted;
	int64_t count;
};

struct reasons {
	struct reason items[REASONS_MAX];
	size_t count;
};

struct outcome {
	const char *name;
	struct histogram us;
};

struct open_key {
	uint64_t hash; /* 0: free */
	int64_t since_ms;
};

enum part { PART_ACKS, PART_SQLITE, PART_MARK, PARTS };
static const char *const part_names[PARTS] = {"acks", "sqlite", "group"};

struct meter {
	const struct seam *seam;
	char *topic;
	uint64_t ticks;
	struct type types[TYPES_MAX]; /* the first: unknown */
	size_t type_count, last_type;
	struct reasons dead_letters, refusals;
	struct outcome outcomes[TYPES_MAX];
	size_t outcome_count;
	struct open_key *open_keys;        /* NULL: none are remembered */
	int64_t held_us, part_us, mark_us; /* when it began; 0: it did not */
	struct histogram commit, commit_parts[PARTS], commit_records;
};

struct meter *meter_new(const struct seam *seam, const char *topic)
{
	struct meter *meter = mem_zalloc(1, sizeof *meter);
	meter->seam = seam;
	meter->topic = mem_strdup(topic);
	meter->types[0].name = "unknown";
	meter->type_count = 1;
	meter->open_keys = mem_zalloc(METER_OPEN_KEYS, sizeof *meter->open_keys);
	return meter;
}

struct meter *meter_new_beside(const struct meter *meter)
{
	if (!meter)
		return NULL;
	struct meter *beside = mem_zalloc(1, sizeof *beside);
	beside->seam = meter->seam;
	beside->types[0].name = "unknown";
	beside->type_count = 1;
	return beside;
}

void meter_free(struct meter *meter)
{
	if (!meter)
		return;
	mem_free(meter->open_keys);
	mem_free(meter->topic);
	mem_free(meter);
}

static int64_t now_us(const struct meter *meter)
{
	return seam_monotonic_us(meter->seam);
}

/* ---- records ---- */

/* By the fingerprint in front of the value; a schema that no event of ours has is unknown. */
static struct type *type_of(struct meter *meter, const struct log_record *record)
{
	uint64_t fingerprint;
	const uint8_t *body;
	size_t len;
	if (record->value.len < 0 ||
	    !event_split(record->value.data, (size_t)record->value.len, &fingerprint, &body, &len))
		return &meter->types[0];
	if (meter->last_type && meter->types[meter->last_type].fingerprint == fingerprint)
		return &meter->types[meter->last_type];
	for (size_t i = 1; i < meter->type_count; i++)
		if (meter->types[i].fingerprint == fingerprint)
			return &meter->types[meter->last_type = i];
	const struct event_type *type = event_type_of_writer(fingerprint);
	for (size_t i = 1; type && i < meter->type_count; i++)
		if (meter->types[i].name == type->name) { /* another version of its schema */
			meter->types[i].fingerprint = fingerprint;
			return &meter->types[meter->last_type = i];
		}
	if (!type || meter->type_count == TYPES_MAX)
		return &meter->types[0];
	struct type *added = &meter->types[meter->last_type = meter->type_count++];
	*added = (struct type){
		.name = type->name, .fingerprint = fingerprint, .publishers = type->origin == EVENT_PUBLISHER};
	return added;
}

static void count_reasons(struct reasons *reasons, const char *code, bool halted, int64_t count)
{
	if (!code)
		code = "rejected";
	for (size_t i = 0; i < reasons->count; i++) {
		struct reason *reason = &reasons->items[i];
		if (reason->halted == halted && (reason->code == code || strcmp(reason->code, code) == 0)) {
			reason->count += count;
			return;
		}
	}
	if (reasons->count < REASONS_MAX)
		reasons->items[reasons->count++] = (struct reason){code, halted, count};
}

static void count_reason(struct reasons *reasons, const char *code, bool halted)
{
	count_reasons(reasons, code, halted, 1);
}

/* Never 0. Who chooses keys that fall together spoils a measurement, nothing else. */
static uint64_t key_hash(const struct log_bytes *key)
{
	const uint8_t *at = key->data;
	uint64_t hash = 0xcbf29ce484222325;
	for (int32_t left = key->len; left > 0;) {
		uint64_t word = 0;
		int32_t take = left < 8 ? left : 8;
		memcpy(&word, at, (size_t)take);
		hash = (hash ^ word) * 0x9e3779b97f4a7c15;
		hash ^= hash >> 32;
		at += take;
		left -= take;
	}
	return hash | 1;
}

/* The places a key may be in. */
static struct open_key *places(struct meter *meter, uint64_t hash)
{
	return &meter->open_keys[(hash >> 1) % (METER_OPEN_KEYS / WAYS) * WAYS];
}

static struct open_key *find_key(struct meter *meter, uint64_t hash)
{
	struct open_key *place = places(meter, hash);
	for (size_t i = 0; i < WAYS; i++)
		if (place[i].hash == hash)
			return &place[i];
	return NULL;
}

/* A free place, or the oldest key's: the time of a free one is 0. */
static struct open_key *make_room(struct meter *meter, uint64_t hash)
{
	struct open_key *place = places(meter, hash), *oldest = place;
	for (size_t i = 1; i < WAYS; i++)
		if (place[i].since_ms < oldest->since_ms)
			oldest = &place[i];
	return oldest;
}

static void remember_key(struct meter *meter, uint64_t hash, int64_t since_ms)
{
	struct open_key *known = find_key(meter, hash);
	*(known ? known : make_room(meter, hash)) = (struct open_key){hash, since_ms};
}

int64_t meter_begin(struct meter *meter)
{
	return meter && meter->ticks++ % METER_SAMPLE == 0 ? now_us(meter) : -1;
}

void meter_folded(struct meter *meter, const struct task *task, const struct log_record *record,
                  enum task_verdict verdict, int64_t begun_us)
{
	if (!meter)
		return;
	struct type *type = type_of(meter, record);
	struct by_result *result = &type->results[verdict];
	result->count++;
	if (begun_us >= 0)
		histogram_add(&result->us, now_us(meter) - begun_us);
	if (verdict == TASK_REJECTED) {
		count_reason(&meter->dead_letters, task_rejection(task)->code, false);
	} else if (verdict == TASK_APPLIED && type->publishers && meter->open_keys) {
		remember_key(meter, key_hash(&record->key), record->timestamp_ms);
	}
}

/* ---- outputs ---- */

static struct outcome *outcome_of(struct meter *meter, const char *name)
{
	for (size_t i = 0; i < meter->outcome_count; i++)
		if (meter->outcomes[i].name == name)
			return &meter->outcomes[i];
	if (meter->outcome_count == TYPES_MAX)
		return NULL;
	meter->outcomes[meter->outcome_count].name = name;
	return &meter->outcomes[meter->outcome_count++];
}

void meter_sent(struct meter *meter, const struct task_output *output)
{
	if (!meter || !output->type || !header_find(&output->record, "ce_type"))
		return;
	struct open_key *open = find_key(meter, key_hash(&output->record.key));
	struct outcome *outcome = open ? outcome_of(meter, output->type->name) : NULL;
	if (!outcome)
		return;
	histogram_add(&outcome->us, (seam_wall_ms(meter->seam) - open->since_ms) * 1000);
	*open = (struct open_key){0};
}

void meter_refused(struct meter *meter, const struct err *why, bool halted)
{
	if (meter)
		count_reason(&meter->refusals, why->code, halted);
}

/* ---- another thread's ---- */

static struct type *type_like(struct meter *meter, const struct type *like)
{
	for (size_t i = 0; i < meter->type_count; i++)
		if (meter->types[i].name == like->name || strcmp(meter->types[i].name, like->name) == 0)
			return &meter->types[i];
	if (meter->type_count == TYPES_MAX)
		return &meter->types[0];
	struct type *added = &meter->types[meter->type_count++];
	*added = (struct type){.name = like->name, .fingerprint = like->fingerprint, .publishers = like->publishers};
	return added;
}

static void absorb_reasons(struct reasons *to, const struct reasons *from)
{
	for (size_t i = 0; i < from->count; i++)
		count_reasons(to, from->items[i].code, from->items[i].halted, from->items[i].count);
}

void meter_absorb(struct meter *meter, const struct meter *beside)
{
	if (!meter || !beside)
		return;
	for (size_t i = 0; i < beside->type_count; i++) {
		struct type *type = type_like(meter, &beside->types[i]);
		for (int verdict = 0; verdict < TASK_VERDICTS; verdict++) {
			type->results[verdict].count += beside->types[i].results[verdict].count;
			histogram_merge(&type->results[verdict].us, &beside->types[i].results[verdict].us);
		}
	}
	absorb_reasons(&meter->dead_letters, &beside->dead_letters);
	absorb_reasons(&meter->refusals, &beside->refusals);
	histogram_merge(&meter->commit, &beside->commit);
	histogram_merge(&meter->commit_records, &beside->commit_records);
	for (int i = 0; i < PARTS; i++)
		histogram_merge(&meter->commit_parts[i], &beside->commit_parts[i]);
}

/* ---- commits ---- */

static void end_part(struct meter *meter, enum part part, int64_t begun_us, int64_t now)
{
	if (begun_us)
		histogram_add(&meter->commit_parts[part], now - begun_us);
}

void meter_commit_held(struct meter *meter, int64_t records)
{
	if (!meter)
		return;
	meter->held_us = meter->part_us = now_us(meter);
	histogram_add(&meter->commit_records, records);
}

void meter_commit_acknowledged(struct meter *meter)
{
	if (!meter)
		return;
	int64_t now = now_us(meter);
	end_part(meter, PART_ACKS, meter->part_us, now);
	meter->part_us = now;
}

void meter_commit_done(struct meter *meter)
{
	if (!meter || !meter->held_us)
		return;
	int64_t now = now_us(meter);
	end_part(meter, PART_SQLITE, meter->part_us, now);
	histogram_add(&meter->commit, now - meter->held_us);
	meter->held_us = meter->part_us = 0;
}

void meter_mark_begins(struct meter *meter)
{
	if (meter)
		meter->mark_us = now_us(meter);
}

void meter_mark_ends(struct meter *meter)
{
	if (!meter)
		return;
	end_part(meter, PART_MARK, meter->mark_us, now_us(meter));
	meter->mark_us = 0;
}

/* ---- the page ---- */

static void put_events(const struct meter *meter, struct buf *page)
{
	static const char count[] = "tandem_events_processed_total", seconds[] = "tandem_event_processing_seconds";
	metrics_family(page, count, "counter", "Records folded, by event and what came of them.");
	for (size_t i = 0; i < meter->type_count; i++)
		for (int verdict = 0; verdict < TASK_VERDICTS; verdict++)
			if (meter->types[i].results[verdict].count)
				metrics_sample(page, count, meter->types[i].results[verdict].count,
				               METRICS_TEXT("topic", meter->topic),
				               METRICS_TEXT("type", meter->types[i].name),
				               METRICS_TEXT("result", task_verdict_name((enum task_verdict)verdict)));
	metrics_family(page, seconds, "histogram",
	               "Time to fold a record, outputs encoded but not sent; one in eight is timed.");
	for (size_t i = 0; i < meter->type_count; i++)
		for (int verdict = 0; verdict < TASK_VERDICTS; verdict++) {
			const struct metrics_label labels[] = {
				METRICS_TEXT("topic", meter->topic),
				METRICS_TEXT("type", meter->types[i].name),
				METRICS_TEXT("result", task_verdict_name((enum task_verdict)verdict)),
				{0}};
			if (meter->types[i].results[verdict].us.count)
				metrics_histogram_us(page, seconds, labels, &meter->types[i].results[verdict].us);
		}
}

static void put_outcomes(const struct meter *meter, struct buf *page)
{
	static const char name[] = "tandem_end_to_end_seconds";
	metrics_family(page, name, "histogram",
	               "From a publisher's record in the log to the outcome handed to the producer, by outcome.");
	for (size_t i = 0; i < meter->outcome_count; i++) {
		const struct metrics_label labels[] = {
			METRICS_TEXT("topic", meter->topic), METRICS_TEXT("type", meter->outcomes[i].name), {0}};
		metrics_histogram_us(page, name, labels, &meter->outcomes[i].us);
	}
}

static void put_reasons(const struct meter *meter, struct buf *page)
{
	static const char dead[] = "tandem_dead_letters_total", refused[] = "tandem_task_refusals_total";
	metrics_family(page, dead, "counter", "Publishers' records that became dead letters, by reason.");
	for (size_t i = 0; i < meter->dead_letters.count; i++)
		metrics_sample(page, dead, meter->dead_letters.items[i].count, METRICS_TEXT("topic", meter->topic),
		               METRICS_TEXT("reason", meter->dead_letters.items[i].code));
	metrics_family(page, refused, "counter",
	               "Times a task was put aside, by reason: halted, or only to be tried again.");
	for (size_t i = 0; i < meter->refusals.count; i++)
		metrics_sample(page, refused, meter->refusals.items[i].count, METRICS_TEXT("topic", meter->topic),
		               METRICS_TEXT("reason", meter->refusals.items[i].code),
		               METRICS_TEXT("kind", meter->refusals.items[i].halted ? "halt" : "retry"));
}

static void put_commits(const struct meter *meter, struct buf *page)
{
	const struct metrics_label topic[] = {METRICS_TEXT("topic", meter->topic), {0}};
	static const char part[] = "tandem_commit_part_seconds";
	metrics_family(page, "tandem_commit_seconds", "histogram",
	               "A commit, from holding the input to the last COMMIT of a task.");
	metrics_histogram_us(page, "tandem_commit_seconds", topic, &meter->commit);
	metrics_family(
		page, part, "histogram",
		"Parts of a commit: acknowledgements of outputs, COMMIT in SQLite, and the group's offset behind it.");
	for (int i = 0; i < PARTS; i++) {
		const struct metrics_label labels[] = {
			METRICS_TEXT("topic", meter->topic), METRICS_TEXT("part", part_names[i]), {0}};
		metrics_histogram_us(page, part, labels, &meter->commit_parts[i]);
	}
	metrics_family(page, "tandem_commit_records", "histogram", "Records in a commit.");
	metrics_histogram(page, "tandem_commit_records", topic, &meter->commit_records);
}

void meter_metrics(const struct meter *meter, struct buf *page)
{
	put_events(meter, page);
	put_outcomes(meter, page);
	put_reasons(meter, page);
	put_commits(meter, page);
}
