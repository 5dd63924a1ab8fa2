/* Keyed chains: whoever may write to a topic, and knows everything that stands there, is no worker. */
#include "command.h"
#include "genesis.h"
#include "mark.h"
#include "redrive.h"
#include "seal.h"
#include "support/records.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const struct secret secret = {"0123456789abcdef0123456789abcdef", 32};
static const struct secret other_secret = {"fedcba9876543210fedcba9876543210", 32};

/* ---- records ---- */

/* Asks for stock of a new order and gives the answer of the partition that was asked. */
static struct log_record an_answer(struct records *records, int from, int32_t *source)
{
	struct log_record order = records_order(records, from);
	assert_int_equal(records_fold(records, &order), TASK_APPLIED);
	*source = records_raw_output(records, 0)->partition;
	const char *order_id = arena_copy(&records->arena, order.key.data, (size_t)order.key.len);
	const struct stock_reserved event = {.order_id = order_id, .inventory_partition = *source};
	return records_numbered(records, "inventory", *source, order_id, &stock_reserved_type, &event);
}

static struct header_stream header_of(const struct log_record *record)
{
	struct header_stream stream;
	assert_int_equal(header_stream_parse(record, &stream), HEADER_VALID);
	return stream;
}

/* Everything that forged records must leave alone. */
static const char *streams(struct records *records)
{
	size_t count;
	const struct task_stream *inbound = task_inbound(records->task, &count);
	const char *text = arena_format(&records->arena, "at %lld:", (long long)task_stream_time_ms(records->task));
	for (size_t i = 0; i < count; i++)
		text = arena_format(&records->arena, "%s %s/%d %llu %llx", text, inbound[i].name, inbound[i].partition,
		                    (unsigned long long)inbound[i].number, (unsigned long long)inbound[i].chain);
	const struct task_gap *gaps = task_gaps(records->task, &count);
	for (size_t i = 0; i < count; i++)
		if (*gaps[i].service)
			text = arena_format(&records->arena, "%s gap %s/%d", text, gaps[i].service, gaps[i].partition);
	return text;
}

static void is_forged(struct records *records, const struct log_record *record)
{
	const char *before = streams(records);
	int64_t count = task_count(records->task, TASK_FORGED);
	records->time_ms += 1000; /* which would be seen in the stream's time */
	assert_int_equal(records_fold(records, record), TASK_FORGED);
	assert_int_equal(records_output_count(records), 0);
	assert_int_equal(task_count(records->task, TASK_FORGED), count + 1);
	assert_string_equal(before, streams(records));
}

/* ---- events ---- */

static void a_worker_of_keyed_chains_seals_what_it_sends_and_takes_what_is_sealed(void **state)
{
	(void)state;
	struct records records;
	int32_t source;
	records_begin_keyed(&records, "order", 0, &secret);
	struct log_record answer = an_answer(&records, 1, &source);
	const struct task_output *command = records_raw_output(&records, 0);
	struct header_stream stream = header_of(&command->record);
	assert_true(stream.keyed);
	assert_true(seal_holds(&records.seal, "inventory", command->partition, &command->record));
	assert_false(seal_holds(&records.seal, "inventory", command->partition + 1, &command->record));
	assert_false(seal_holds(&records.seal, "orders", command->partition, &command->record));
	assert_int_equal(records_fold(&records, &answer), TASK_APPLIED);
	assert_int_equal(records_fold(&records, &answer), TASK_REPEAT);
	assert_int_equal(task_count(records.task, TASK_FORGED), 0);
	records_end(&records);
}

static void a_forged_event_with_the_next_number_is_not_applied_and_shifts_nothing(void **state)
{
	(void)state;
	struct records records;
	int32_t source;
	records_begin_keyed(&records, "order", 0, &secret);
	struct log_record answer = an_answer(&records, 1, &source), forged = answer;
	struct header_stream genuine = header_of(&answer), stream = genuine;

	/* As in an installation with public chains: the key is the installation id. */
	stream.keyed = false;
	stream.chain = hash_chain(
		records_installation, hash_chain_start(records_installation, "inventory", source, "orders", 0), 1,
		stock_reserved_type.fingerprint, &answer.key, (const uint8_t *)answer.value.data + EVENT_HEADER_BYTES,
		(size_t)answer.value.len - EVENT_HEADER_BYTES);
	forged = records_restreamed(&records, &answer, &stream);
	is_forged(&records, &forged);
	struct seal public;
	assert_int_equal(seal_open(records_installation, false, NULL, &public, NULL), OK);
	public.keyed = true; /* a proof, under keys that everybody knows */
	seal_event(&public, &stream, "orders", &answer);
	forged = records_restreamed(&records, &answer, &stream);
	is_forged(&records, &forged);
	stream = genuine;
	for (int i = 0; i < 64; i++) { /* a proof that was tried */
		stream.proof = genuine.proof ^ (1ull << i);
		forged = records_restreamed(&records, &answer, &stream);
		is_forged(&records, &forged);
	}
	assert_int_equal(records_fold(&records, &answer), TASK_APPLIED);
	records_end(&records);
}

static void a_genuine_header_proves_its_own_record_alone(void **state)
{
	(void)state;
	struct records records;
	int32_t source;
	records_begin_keyed(&records, "order", 0, &secret);
	struct log_record answer = an_answer(&records, 1, &source), forged = answer;
	struct header_stream stream = header_of(&answer);
	uint8_t value[256];
	forged.key = (struct log_bytes){"other", 5};
	is_forged(&records, &forged);
	forged = records_with_header(&records, &answer, "ce_type", "tandem.StockRejected", 20);
	is_forged(&records, &forged);
	forged = answer;
	forged.value.len--;
	is_forged(&records, &forged);
	forged.value = (struct log_bytes){NULL, -1};
	is_forged(&records, &forged);
	memcpy(value, answer.value.data, (size_t)answer.value.len);
	value[answer.value.len - 1] ^= 1;
	forged.value = (struct log_bytes){value, answer.value.len};
	is_forged(&records, &forged);
	stream.number++;
	forged = records_restreamed(&records, &answer, &stream);
	is_forged(&records, &forged);
	stream = header_of(&answer);
	stream.chain ^= 1;
	forged = records_restreamed(&records, &answer, &stream);
	is_forged(&records, &forged);
	stream = header_of(&answer);
	stream.partition = (stream.partition + 1) % RECORDS_INVENTORY_PARTITIONS;
	forged = records_restreamed(&records, &answer, &stream);
	is_forged(&records, &forged);
	assert_int_equal(records_fold(&records, &answer), TASK_APPLIED);
	records_end(&records);
}

static void forged_numbers_are_neither_gap_nor_fork(void **state)
{
	(void)state;
	struct records records;
	int32_t source;
	records_begin_keyed(&records, "order", 0, &secret);
	struct log_record answer = an_answer(&records, 1, &source);
	assert_int_equal(records_fold(&records, &answer), TASK_APPLIED);
	static const uint64_t numbers[] = {1, 2, 3, 1000000, INT64_MAX};
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		struct header_stream stream = header_of(&answer);
		stream.number = numbers[i];
		stream.chain += 17;
		struct log_record forged = records_restreamed(&records, &answer, &stream);
		is_forged(&records, &forged);
	}
	assert_int_equal(task_commit(records.task, NULL), OK);
	assert_int_equal(records_number(&records, "SELECT count(*) FROM gap"), 1);
	assert_int_equal(records_number(&records, "SELECT count FROM gap WHERE service = '' AND verdict = 'forged'"),
	                 5);
	assert_int_equal(records_number(&records, "SELECT forged FROM keyed"), 5);
	/* A genuine gap is one still. */
	struct log_record early = answer;
	for (int from = 100; header_of(&early).number < 3; from += 100)
		early = an_answer(&records, from, &source);
	assert_int_equal(records_fold(&records, &early), TASK_GAP);
	records_end(&records);
}

static void headers_that_would_halt_a_public_installation_are_forged(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		int32_t len;
	} headers[] = {{"", 0},
	               {"\x03", 1},
	               {"\xff whatever comes later", 22},
	               {"\x02\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 29},
	               {"\x01\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0inventory", 30},
	               {"\x01\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0nobody", 27}};
	struct records records;
	records_begin_keyed(&records, "order", 0, &secret);
	struct log_record order = records_order(&records, 1);
	for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
		struct log_record forged =
			records_with_header(&records, &order, HEADER_STREAM, headers[i].bytes, (size_t)headers[i].len);
		is_forged(&records, &forged);
		forged =
			records_with_header(&records, &forged, HEADER_STREAM, headers[i].bytes, (size_t)headers[i].len);
		is_forged(&records, &forged);
	}
	assert_int_equal(records_fold(&records, &order), TASK_APPLIED);
	records_end(&records);
}

static void a_sealed_event_that_cannot_be_applied_halts_as_ever(void **state)
{
	(void)state;
	struct records records;
	records_begin_keyed(&records, "order", 0, &secret);
	const struct commit_stock event = {.order_id = "A-1"}; /* which `order` does not take */
	struct log_record record = records_numbered(&records, "inventory", 0, "A-1", &commit_stock_type, &event);
	assert_string_equal(records_refused(&records, &record), "unknown_schema");
	records_drop(&records);
}

static void a_publisher_needs_no_proof(void **state)
{
	(void)state;
	struct records records;
	records_begin_keyed(&records, "order", 0, &secret);
	struct log_record order = records_order(&records, 1), wrong = order;
	assert_int_equal(records_fold(&records, &order), TASK_APPLIED);
	wrong.value = (struct log_bytes){"nonsense", 8};
	assert_int_equal(records_fold(&records, &wrong), TASK_REJECTED);
	const struct task_output *letter = records_raw_output(&records, 0);
	assert_true(seal_holds(&records.seal, "orders.dlq", 0, &letter->record));
	assert_true(header_of(&letter->record).keyed);
	records_end(&records);
}

static void a_proof_means_nothing_where_chains_are_public(void **state)
{
	(void)state;
	struct records records;
	int32_t source;
	struct seal seal;
	records_begin(&records, "order", 0);
	struct log_record answer = an_answer(&records, 1, &source);
	struct header_stream stream = header_of(&answer);
	assert_false(stream.keyed);
	assert_int_equal(seal_open(records_installation, true, &secret, &seal, NULL), OK);
	seal_event(&seal, &stream, "orders", &answer);
	struct log_record sealed = records_restreamed(&records, &answer, &stream);
	assert_int_equal(records_fold(&records, &sealed), TASK_UNKNOWN_SOURCE);
	assert_int_equal(records_fold(&records, &answer), TASK_APPLIED);
	records_end(&records);
}

/* ---- dead letters that come back ---- */

static void a_redrive_is_taken_from_one_who_has_the_secret_alone(void **state)
{
	(void)state;
	struct records records;
	struct header_list list;
	const struct redrive redrive = {.topic = "orders.dlq", .partition = 0, .number = 1, .offset = 1};
	records_begin_keyed(&records, "order", 0, &secret);
	struct log_record order = records_order(&records, 1), wrong = order;
	wrong.value = (struct log_bytes){"nonsense", 8};
	assert_int_equal(records_fold(&records, &wrong), TASK_REJECTED);
	header_list_init(&list, &records.arena, 1);
	redrive_add(&list, &redrive);
	order.headers = list.items;
	order.header_count = list.count;
	is_forged(&records, &order); /* who may publish can publish the order, and not say whose letter it is */
	struct log_record sealed = order, other = records_order(&records, 50);
	seal_control(&records.seal, "orders", 0, &records.arena, &sealed);
	other.headers = sealed.headers;
	other.header_count = sealed.header_count;
	is_forged(&records, &other);
	assert_int_equal(records_fold(&records, &sealed), TASK_APPLIED);
	assert_int_equal(records_fold(&records, &sealed), TASK_REPEAT);
	records_end(&records);
}

/* ---- control records ---- */

static void forged_control_records_are_not_obeyed_and_halt_nothing(void **state)
{
	(void)state;
	struct records records;
	struct task_position position;
	struct genesis genesis;
	records_begin_keyed(&records, "order", 0, &secret);
	const struct logic_version newer = {.logic_version = 99}, none = {.logic_version = -1};
	const struct letter_discarded discard = {.topic = "orders.dlq", .number = 1, .why = ""};
	records_genesis(&genesis, "orders", 0);
	struct log_record nonsense = {.key = {NULL, -1}, .value = {"nonsense", 8}};
	struct log_record forged[] = {records_control(&records, &logic_version_type, &newer),
	                              records_control(&records, &logic_version_type, &none),
	                              records_control(&records, &genesis_type, &genesis),
	                              records_control(&records, &letter_discarded_type, &discard),
	                              records_with_header(&records, &nonsense, GENESIS_CONTROL_HEADER, "1", 1)};
	for (size_t i = 0; i < sizeof forged / sizeof *forged; i++) {
		is_forged(&records, &forged[i]);
		struct log_record tried =
			records_with_header(&records, &forged[i], SEAL_CONTROL_HEADER, "\1\2\3\4\5\6\7\10", 8);
		is_forged(&records, &tried);
		tried = records_with_header(&records, &forged[i], SEAL_CONTROL_HEADER, "", 0);
		is_forged(&records, &tried);
	}
	task_position(records.task, &position);
	assert_int_equal(position.logic_version, 1);
	struct log_record genuine = records_control(&records, &logic_version_type, &newer), elsewhere = genuine;
	seal_control(&records.seal, "orders", 1, &records.arena, &elsewhere);
	is_forged(&records, &elsewhere); /* of another partition */
	seal_control(&records.seal, "orders", 0, &records.arena, &genuine);
	assert_string_equal(records_refused(&records, &genuine), "unknown_version");
	records_drop(&records);
}

static void a_sealed_control_record_is_obeyed(void **state)
{
	(void)state;
	struct records records;
	records_begin_keyed(&records, "order", 0, &secret);
	const struct logic_version same = {.logic_version = 1};
	struct log_record record = records_control(&records, &logic_version_type, &same);
	seal_control(&records.seal, "orders", 0, &records.arena, &record);
	assert_int_equal(records_fold(&records, &record), TASK_CONTROL);
	records_end(&records);
}

static struct log_record a_genesis(struct records *records, enum chain_key chain, const struct secret *with)
{
	struct genesis genesis;
	struct log_record record;
	struct seal seal;
	struct err err = {0};
	records_genesis(&genesis, "orders", 0);
	genesis.chain = chain;
	assert_int_equal(genesis_record(&genesis, &records->arena, &record, &err), OK);
	if (with) {
		assert_int_equal(seal_open(records_installation, true, with, &seal, &err), OK);
		seal_control(&seal, "orders", 0, &records->arena, &record);
	}
	return record;
}

static void the_first_record_opens_with_its_own_secret_alone(void **state)
{
	(void)state;
	struct records records;
	records_begin_keyed(&records, "order", 0, &secret);
	const struct {
		struct log_record genesis;
		const struct secret *given;
		const char *says; /* NULL: taken */
	} cases[] = {
		{a_genesis(&records, CHAIN_KEY_KEYED, &secret), &secret, NULL},
		{a_genesis(&records, CHAIN_KEY_PUBLIC, NULL), NULL, NULL},
		{a_genesis(&records, CHAIN_KEY_KEYED, &secret), &other_secret,
	         "is not the one that orders/0 was created"},
		{a_genesis(&records, CHAIN_KEY_KEYED, NULL), &secret, "or its record 0 is forged"},
		{a_genesis(&records, CHAIN_KEY_KEYED, &secret), NULL, "no secret was given: --secret-file"},
		{a_genesis(&records, CHAIN_KEY_PUBLIC, NULL), &secret, "are public: leave it out"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct err err = {0};
		struct task *task;
		enum task_verdict verdict;
		const struct task_config config = {.service = records.service, .secret = cases[i].given};
		assert_int_equal(task_open(&config, &task, &err), OK);
		enum status status = task_fold(task, &cases[i].genesis, &verdict, &err);
		assert_int_equal(status, cases[i].says ? FATAL : OK);
		if (cases[i].says) {
			assert_string_equal(err.code, "secret");
			assert_non_null(strstr(err.text, cases[i].says));
			assert_null(strstr(err.text, "0123456789abcdef"));
		}
		task_close(task);
	}
	records_end(&records);
}

static void a_file_of_keyed_chains_is_not_opened_without_the_secret(void **state)
{
	(void)state;
	char path[] = "/tmp/tandem-keyed-XXXXXX";
	struct records records;
	struct err err = {0};
	enum task_verdict verdict;
	struct task *task;
	close(mkstemp(path));
	records_begin_keyed(&records, "order", 0, &secret);
	struct log_record genesis = a_genesis(&records, CHAIN_KEY_KEYED, &secret);
	struct task_config config = {.service = records.service, .path = path, .secret = &secret};
	assert_int_equal(task_open(&config, &task, &err), OK);
	assert_int_equal(task_fold(task, &genesis, &verdict, &err), OK);
	assert_int_equal(task_commit(task, &err), OK);
	task_close(task);
	config.secret = NULL;
	assert_int_equal(task_open(&config, &task, &err), FATAL);
	assert_string_equal(err.code, "secret");
	config.secret = &secret;
	assert_int_equal(task_open(&config, &task, &err), OK);
	assert_memory_equal(task_seal(task), &records.seal, sizeof records.seal);
	task_close(task);
	unlink(path);
	records_end(&records);
}

static void a_file_of_before_there_were_keyed_chains_is_of_public_ones(void **state)
{
	(void)state;
	struct records records;
	struct err err = {0};
	records_begin_file(&records, command_service("order"), 0);
	struct log_record order = records_order(&records, 1);
	assert_int_equal(records_fold(&records, &order), TASK_APPLIED);
	assert_int_equal(task_commit(records.task, &err), OK);
	records_edit(&records, "DROP TABLE keyed");
	assert_int_equal(records_number(&records, "SELECT count(*) FROM keyed"), 0);
	assert_false(task_seal(records.task)->keyed);
	order = records_order(&records, 50);
	assert_int_equal(records_fold(&records, &order), TASK_APPLIED);
	records_end(&records);
}

/* ---- keys ---- */

static void every_installation_and_purpose_has_keys_of_its_own(void **state)
{
	(void)state;
	/* tests/hash_vectors.py */
	static const uint8_t chain[16] = {0xa9, 0x0e, 0x98, 0xd2, 0xf4, 0x62, 0xa0, 0x2b,
	                                  0x29, 0x77, 0x03, 0x8e, 0xd6, 0x3b, 0xdb, 0x65},
			     proof[16] = {0x8e, 0x40, 0x53, 0x3c, 0x29, 0x39, 0x8a, 0xbd,
	                                  0x24, 0xa0, 0xda, 0xa7, 0xa6, 0x25, 0xe7, 0xd0};
	struct seal seal, other;
	static const uint8_t another[16] = {1};
	assert_int_equal(seal_open(records_installation, true, &secret, &seal, NULL), OK);
	assert_memory_equal(seal.key, chain, sizeof chain);
	assert_memory_equal(seal.proof, proof, sizeof proof);
	assert_int_equal(seal_open(another, true, &secret, &other, NULL), OK);
	assert_memory_not_equal(seal.key, other.key, sizeof seal.key);
	assert_memory_not_equal(seal.proof, other.proof, sizeof seal.proof);
	assert_int_equal(seal_open(records_installation, true, &other_secret, &other, NULL), OK);
	assert_memory_not_equal(seal.key, other.key, sizeof seal.key);
	assert_int_equal(seal_open(records_installation, false, NULL, &other, NULL), OK);
	assert_memory_equal(other.key, records_installation, sizeof other.key);
}

/* ---- marks ---- */

static void a_forged_mark_is_no_mark(void **state)
{
	(void)state;
	const struct task_position position = {
		.next_offset = 42, .last_offset = 41, .last_hash = 7, .logic_version = 1};
	struct task_position found;
	struct seal seal, public, other;
	char text[MARK_TEXT_MAX + 1], forged[MARK_TEXT_MAX + 1];
	assert_int_equal(seal_open(records_installation, true, &secret, &seal, NULL), OK);
	assert_int_equal(seal_open(records_installation, true, &other_secret, &other, NULL), OK);
	assert_int_equal(seal_open(records_installation, false, NULL, &public, NULL), OK);
	mark_write(&position, &seal, "order", 3, text);
	assert_true(mark_read(text, 42, &seal, "order", 3, &found) && mark_equal(&found, &position));
	assert_false(mark_read(text, 42, &seal, "order", 2, &found));
	assert_false(mark_read(text, 42, &seal, "inventory", 3, &found));
	assert_false(mark_read(text, 42, &other, "order", 3, &found));
	assert_false(mark_read(text, 42, &public, "order", 3, &found));
	assert_false(mark_read(text, 43, &seal, "order", 3, &found));
	assert_false(mark_read("", -1, &seal, "order", 3, &found));
	for (size_t i = 0; text[i]; i++) {
		memcpy(forged, text, sizeof forged);
		forged[i] = forged[i] == '1' ? '2' : '1';
		assert_false(mark_read(forged, 42, &seal, "order", 3, &found));
		memcpy(forged, text, sizeof forged);
		forged[i] = 0;
		assert_false(mark_read(forged, 42, &seal, "order", 3, &found));
	}
	mark_write(&position, &public, "order", 3, text);
	mark_print(&position, forged);
	assert_string_equal(text, forged);
	assert_false(mark_read(text, 42, &seal, "order", 3, &found));
	assert_true(mark_read(text, 42, &public, "order", 3, &found));
}

static void the_longest_sealed_mark_has_room(void **state)
{
	(void)state;
	const struct task_position longest = {.next_offset = INT64_MAX,
	                                      .last_offset = INT64_MAX - 1,
	                                      .last_hash = UINT64_MAX,
	                                      .input_hash = UINT64_MAX,
	                                      .output_hash = UINT64_MAX,
	                                      .logic_version = INT32_MAX};
	struct task_position found;
	struct seal seal;
	char text[MARK_TEXT_MAX + 1];
	assert_int_equal(seal_open(records_installation, true, &secret, &seal, NULL), OK);
	mark_write(&longest, &seal, "order", INT32_MAX, text);
	assert_true(strlen(text) <= MARK_TEXT_MAX);
	assert_true(mark_read(text, INT64_MAX, &seal, "order", INT32_MAX, &found));
	assert_true(mark_equal(&found, &longest));
}

/* ---- the file ---- */

static void write_file(const char *path, const void *bytes, size_t len, mode_t mode)
{
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, len, file), len);
	fclose(file);
	assert_int_equal(chmod(path, mode), 0);
}

static void a_secret_comes_from_a_file_that_others_may_not_read(void **state)
{
	(void)state;
	static uint8_t long_secret[SECRET_BYTES_MAX + 1];
	static struct secret found;
	struct err err = {0};
	char path[] = "/tmp/tandem-secret-XXXXXX";
	close(mkstemp(path));
	memset(long_secret, 'x', sizeof long_secret);
	write_file(path, "0123456789abcdef0123456789abcdef\r\n", 34, 0600);
	assert_int_equal(secret_read(path, &found, &err), OK);
	assert_int_equal(found.len, 32);
	assert_memory_equal(found.bytes, secret.bytes, 32);
	const struct {
		const void *bytes;
		size_t len;
		mode_t mode;
		const char *says;
	} cases[] = {
		{"0123456789abcdef0123456789abcdef", 32, 0640, NULL},
		{long_secret, SECRET_BYTES_MAX, 0400, NULL},
		{"0123456789abcdef0123456789abcdef", 32, 0644, "mode 644), expected none"},
		{"0123456789abcdef0123456789abcdef", 32, 0602, "mode 602), expected none"},
		{"0123456789abcdef0123456789abcde\n", 32, 0600, "found 31 bytes, expected at least 32"},
		{"", 0, 0600, "found 0 bytes"},
		{long_secret, SECRET_BYTES_MAX + 1, 0600, "found more than 4096 bytes"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		write_file(path, cases[i].bytes, cases[i].len, cases[i].mode);
		err = (struct err){0};
		assert_int_equal(secret_read(path, &found, &err), cases[i].says ? FATAL : OK);
		if (!cases[i].says)
			continue;
		assert_string_equal(err.code, "secret");
		assert_non_null(strstr(err.text, cases[i].says));
		assert_null(strstr(err.text, "0123456789"));
		assert_int_equal(found.len, 0);
	}
	unlink(path);
	assert_int_equal(secret_read(path, &found, &err), FATAL);
	assert_non_null(strstr(err.text, "No such file"));
	assert_int_equal(secret_read("/tmp", &found, &err), FATAL);
	assert_string_equal(err.code, "secret");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_worker_of_keyed_chains_seals_what_it_sends_and_takes_what_is_sealed),
		cmocka_unit_test(a_forged_event_with_the_next_number_is_not_applied_and_shifts_nothing),
		cmocka_unit_test(a_genuine_header_proves_its_own_record_alone),
		cmocka_unit_test(forged_numbers_are_neither_gap_nor_fork),
		cmocka_unit_test(headers_that_would_halt_a_public_installation_are_forged),
		cmocka_unit_test(a_sealed_event_that_cannot_be_applied_halts_as_ever),
		cmocka_unit_test(a_publisher_needs_no_proof),
		cmocka_unit_test(a_proof_means_nothing_where_chains_are_public),
		cmocka_unit_test(a_redrive_is_taken_from_one_who_has_the_secret_alone),
		cmocka_unit_test(forged_control_records_are_not_obeyed_and_halt_nothing),
		cmocka_unit_test(a_sealed_control_record_is_obeyed),
		cmocka_unit_test(the_first_record_opens_with_its_own_secret_alone),
		cmocka_unit_test(a_file_of_keyed_chains_is_not_opened_without_the_secret),
		cmocka_unit_test(a_file_of_before_there_were_keyed_chains_is_of_public_ones),
		cmocka_unit_test(every_installation_and_purpose_has_keys_of_its_own),
		cmocka_unit_test(a_forged_mark_is_no_mark),
		cmocka_unit_test(the_longest_sealed_mark_has_room),
		cmocka_unit_test(a_secret_comes_from_a_file_that_others_may_not_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
