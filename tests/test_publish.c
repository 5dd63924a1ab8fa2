/* publish: what reaches the log, over local::memory: with its faults. */
#include "../producers/publish/run.h"
#include "events.h"
#include "hash.h"
#include "log_memory.h"
#include "support/fake_clock.h"
#include "support/installation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PARTITIONS 3

static struct fake_clock fake;

static struct fixture {
	struct log_memory *memory;
	struct log *log;
	struct publish_options options;
	struct publish_result result;
	struct err err;
	char *errors;
	size_t errors_len;
	/* faults */
	int64_t produced, fail_at, fail_count, delay_us;
	enum log_memory_fate fate;
	/* what was read back */
	struct names keys; /* "topic key" */
	int64_t records, misplaced, bad, headers;
	/* stop */
	int64_t stop_at, asked;
} f;

static bool stop_later(void)
{
	return f.stop_at && f.produced >= f.stop_at;
}

static enum log_memory_fate fate(void *arg, const char *topic, const struct log_record *record, int64_t *delay_us)
{
	(void)arg;
	(void)topic;
	(void)record;
	*delay_us = f.delay_us;
	int64_t number = f.produced++;
	return number >= f.fail_at && number < f.fail_at + f.fail_count ? f.fate : LOG_MEMORY_WRITE;
}

static int setup(void **state)
{
	(void)state;
	f = (struct fixture){0};
	fake_clock_init(&fake);
	fake.tick_us = 1000;
	f.memory = log_memory_new(&fake.seam);
	if (log_open("local::memory:", &(struct log_config){.seam = &fake.seam, .memory = f.memory}, &f.log, &f.err) !=
	    OK)
		return -1;
	f.options = (struct publish_options){
		.source = PUBLISH_GENERATED,
		.generate = {.seed = 1,
	                     .orders = 200,
	                     .skus = 20,
	                     .hot_skus = 10,
	                     .lines_min = 1,
	                     .lines_max = 3,
	                     .stock = 5},
		.sender = {.log = f.log, .seam = &fake.seam, .patience_ms = 60000, .stopped = stop_later}};
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	log_close(f.log);
	log_memory_free(f.memory);
	names_fini(&f.keys);
	free(f.errors);
	return 0;
}

static void install(void)
{
	installation_make(f.log, 1, PARTITIONS, PARTITIONS + 1);
	log_memory_set_faults(f.memory, &(struct log_memory_faults){.produce = fate});
}

static enum status publish(void)
{
	free(f.errors);
	f.errors = NULL;
	f.options.errors = open_memstream(&f.errors, &f.errors_len);
	f.err = (struct err){0};
	enum status status = publish_run(&f.options, &f.result, &f.err);
	fclose(f.options.errors);
	return status;
}

static const char *temporary(const char *text)
{
	static char path[64];
	snprintf(path, sizeof path, "/tmp/tandem-publish-XXXXXX");
	int fd = mkstemp(path);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	return path;
}

static enum status publish_text(const char *text)
{
	const char *path = temporary(text);
	f.options.source = PUBLISH_JSONL;
	f.options.files = &path;
	f.options.file_count = 1;
	enum status status = publish();
	unlink(path);
	return status;
}

/* ---- reading back ---- */

static void look(void *arg, const struct log_record *record)
{
	const struct event_type *type;
	struct arena arena = {0};
	uint64_t fingerprint;
	const uint8_t *body;
	size_t len;
	int32_t partitions = strcmp(arg, "orders") == 0 ? PARTITIONS : PARTITIONS + 1;
	f.records++;
	f.headers += (int64_t)record->header_count;
	f.misplaced += record->partition != log_partition_of(record->key.data, (size_t)record->key.len, partitions);
	if (!event_split(record->value.data, (size_t)record->value.len, &fingerprint, &body, &len) ||
	    !(type = event_type_of_writer(fingerprint))) {
		f.bad++;
		return;
	}
	void *event = arena_alloc(&arena, type->size);
	f.bad += event_decode(type, fingerprint, body, len, &arena, event, &f.err) != OK ||
	         strcmp(type->topic, arg) != 0 || strlen(type->key(event)) != (size_t)record->key.len ||
	         memcmp(type->key(event), record->key.data, (size_t)record->key.len) != 0;
	names_add(&f.keys, arena_format(&arena, "%s %s", type->name, type->key(event)));
	arena_fini(&arena);
}

static void read_back(void)
{
	names_fini(&f.keys);
	f.records = f.misplaced = f.bad = f.headers = 0;
	log_memory_set_faults(f.memory, NULL);
	installation_read(f.log, "orders", look, (void *)(uintptr_t) "orders");
	installation_read(f.log, "inventory", look, (void *)(uintptr_t) "inventory");
	assert_int_equal(f.misplaced, 0);
	assert_int_equal(f.bad, 0);
}

/* ---- tests ---- */

static void every_event_arrives_under_its_key_in_its_partition(void **state)
{
	(void)state;
	install();
	f.options.generate.cancel_one_in = 10;
	assert_int_equal(publish(), OK);
	assert_int_equal(f.result.total, -1);
	read_back();
	assert_int_equal(f.records, f.result.sent.acknowledged);
	assert_int_equal(f.keys.count, f.records);
	assert_int_equal(f.headers, 0);
	assert_true(f.records > 220);
}

static void without_genesis_nothing_is_sent(void **state)
{
	(void)state;
	assert_int_not_equal(publish(), OK);
	assert_int_equal(f.result.sent.taken, 0);
	struct err err;
	assert_int_equal(
		log_topic_create(f.log, &(struct log_topic){.name = "inventory", .partitions = 2, .replicas = 1}, &err),
		OK);
	assert_int_equal(publish(), FATAL);
	assert_true(err_is(&f.err, "no_genesis"));
	assert_int_equal(f.result.sent.acknowledged, 0);
}

static void what_was_lost_is_sent_again(void **state)
{
	(void)state;
	install();
	f.fate = LOG_MEMORY_LOSE;
	f.fail_at = 50;
	f.fail_count = 40;
	assert_int_equal(publish(), OK);
	assert_int_equal(f.result.sent.acknowledged, 220);
	assert_true(f.result.sent.resent > 0);
	read_back();
	assert_int_equal(f.keys.count, 220);
}

static void what_may_have_been_written_is_sent_again(void **state)
{
	(void)state;
	install();
	f.fate = LOG_MEMORY_UNKNOWN;
	f.fail_at = 100;
	f.fail_count = 5;
	assert_int_equal(publish(), OK);
	read_back();
	assert_int_equal(f.keys.count, 220);
	assert_true(f.records > 220);
}

static void a_log_that_takes_nothing_is_given_up_in_the_end(void **state)
{
	(void)state;
	install();
	f.fate = LOG_MEMORY_LOSE;
	f.fail_at = 100;
	f.fail_count = INT32_MAX;
	assert_int_equal(publish(), RETRY);
	assert_int_equal(f.result.sent.acknowledged, 100);
	assert_non_null(strstr(f.err.text, "given up"));
}

static void an_error_that_stays_ends_it_at_once(void **state)
{
	(void)state;
	install();
	f.fate = LOG_MEMORY_REFUSE;
	f.fail_at = 100;
	f.fail_count = INT32_MAX;
	assert_int_equal(publish(), FATAL);
	assert_int_equal(f.result.sent.resent, 0);
	assert_non_null(strstr(f.err.text, "orders"));
}

static void an_interrupted_run_is_resumed_by_running_it_again(void **state)
{
	(void)state;
	install();
	f.stop_at = 77;
	assert_int_equal(publish(), RETRY);
	assert_true(err_is(&f.err, "interrupted"));
	assert_true(f.result.sent.acknowledged >= 77 && f.result.sent.acknowledged < 220);
	f.stop_at = 0;
	assert_int_equal(publish(), OK);
	read_back();
	assert_int_equal(f.keys.count, 220);
}

static void a_dry_run_needs_no_log(void **state)
{
	(void)state;
	f.options.dry_run = true;
	f.options.sender.log = NULL;
	assert_int_equal(publish(), OK);
	assert_int_equal(f.result.total, 220);
	assert_ptr_equal(f.result.types[0].type, &stock_received_type);
	assert_int_equal(f.result.types[0].events, 20);
	assert_int_equal(f.result.types[1].events, 200);
}

static void cloudevents_name_the_natural_key(void **state)
{
	(void)state;
	install();
	f.options.sender.cloudevents = true;
	assert_int_equal(publish_text("{\"type\":\"StockReceived\",\"event\":{\"receipt_id\":\"r\",\"sku\":\"s\","
	                              "\"quantity\":1,\"received_at\":2}}\n"),
	                 OK);
	read_back();
	assert_int_equal(f.headers, 5);
	struct arena arena = {0};
	struct log_record record;
	bool found;
	assert_int_equal(log_read_at(f.log, "inventory", log_partition_of("s", 1, PARTITIONS + 1), 1, &arena, &record,
	                             &found, &f.err),
	                 OK);
	assert_true(found);
	assert_string_equal(record.headers[1].name, "ce_id");
	assert_int_equal(record.headers[1].value.len, strlen("StockReceived/r/s"));
	assert_memory_equal(record.headers[1].value.data, "StockReceived/r/s", strlen("StockReceived/r/s"));
	arena_fini(&arena);
}

/* How many of the records in both topics have a traceparent, and a hash over all of those. */
static int64_t traced(uint64_t *hash)
{
	static const char *const topics[] = {"orders", "inventory"};
	static const uint8_t key[HASH_KEY_BYTES];
	int64_t count = 0;
	for (int topic = 0; topic < 2; topic++) {
		for (int32_t partition = 0; partition < PARTITIONS + topic; partition++) {
			struct arena arena = {0};
			struct log_record record;
			bool found = true;
			for (int64_t offset = 1; found; offset++) {
				assert_int_equal(log_read_at(f.log, topics[topic], partition, offset, &arena, &record,
				                             &found, &f.err),
				                 OK);
				const struct log_header *header = found ? header_find(&record, "traceparent") : NULL;
				if (!header)
					continue;
				assert_true(header_trace_valid(header));
				count++;
				*hash += hash_bytes(key, header->value.data, (size_t)header->value.len); /* of a set */
			}
			arena_fini(&arena);
		}
	}
	return count;
}

static void no_trace_is_begun_by_itself(void **state)
{
	(void)state;
	uint64_t hash = 0;
	install();
	assert_int_equal(publish(), OK);
	assert_int_equal(traced(&hash), 0);
}

static void traces_are_begun_for_the_share_that_is_asked_for(void **state)
{
	(void)state;
	uint64_t hash = 0;
	install();
	f.options.sender.traces = (struct traces_config){.one_in = 4, .ids = TRACES_SEED};
	f.options.sender.cloudevents = true; /* beside it */
	assert_int_equal(publish(), OK);
	assert_in_range(traced(&hash), 30, 80); /* of 220 */
}

static void a_seed_gives_the_same_traces_again_and_another_one_others(void **state)
{
	(void)state;
	uint64_t once = 0, twice = 0, more = 0;
	install();
	f.options.sender.traces = (struct traces_config){.one_in = 1, .ids = TRACES_SEED, .seed = 1};
	assert_int_equal(publish(), OK);
	assert_int_equal(traced(&once), 220);
	assert_int_equal(publish(), OK);
	assert_int_equal(traced(&twice), 440);
	assert_true(twice == 2 * once);
	f.options.sender.traces.seed = 2;
	assert_int_equal(publish(), OK);
	assert_int_equal(traced(&more), 660);
	assert_true(more != 3 * once);
}

static void traces_are_drawn_at_random_else(void **state)
{
	(void)state;
	static const uint8_t key[HASH_KEY_BYTES];
	uint64_t hash = 0;
	install();
	f.options.sender.traces = (struct traces_config){.one_in = 1};
	assert_int_equal(publish(), OK);
	assert_int_equal(traced(&hash), 220);
	static const char drawn[] = "00-07070707070707070707070707070707-0707070707070707-01"; /* fake_clock.h */
	assert_true(hash == 220 * hash_bytes(key, drawn, strlen(drawn)));
}

#define GOOD "{\"type\":\"OrderCancelRequested\",\"event\":{\"order_id\":\"536365\",\"requested_at\":1}}\n"

static void json_lines_are_published(void **state)
{
	(void)state;
	install();
	assert_int_equal(
		publish_text(GOOD
	                     "\n"
	                     "{\"type\":\"OrderPlaced\",\"event\":{\"order_id\":\"1\",\"currency\":\"GBP\","
	                     "\"placed_at\":5,\"lines\":[{\"sku\":\"a b\",\"quantity\":1,\"unit_price_minor\":2}]}}"),
		OK);
	assert_int_equal(f.result.sent.acknowledged, 2);
	read_back();
	assert_int_equal(f.records, 2);
}

static void a_file_with_a_wrong_line_is_not_begun(void **state)
{
	(void)state;
	static const struct {
		const char *line, *text;
	} cases[] = {
		{"nonsense", "found no JSON"},
		{"[]", "expected {\"type\""},
		{"{\"type\":\"OrderPlaced\"}", "expected {\"type\""},
		{"{\"type\":\"OrderPlaecd\",\"event\":{}}",
	         "found 'OrderPlaecd', expected a publisher's event; did you mean 'OrderPlaced'?"},
		{"{\"type\":\"ReserveStock\",\"event\":{}}", "found 'ReserveStock', which only a worker sends"},
		{"{\"type\":\"Genesis\",\"event\":{}}", "found 'Genesis'"},
		{"{\"type\":\"OrderCancelRequested\",\"event\":{\"order_id\":\"1\"}}", "requested_at"},
		{"{\"type\":\"OrderCancelRequested\",\"event\":{\"order_id\":7,\"requested_at\":1}}", "order_id"},
		{"{\"type\":\"OrderCancelRequested\",\"event\":{\"order_id\":\"\",\"requested_at\":1}}",
	         "order_id: found '', expected 1 to 64 printable ASCII"},
		{"{\"type\":\"OrderCancelRequested\",\"event\":{\"order_id\":\"\xc3\xa4\",\"requested_at\":1}}",
	         "order_id"},
		{"{\"type\":\"OrderPlaced\",\"event\":{\"order_id\":\"1\",\"currency\":\"GBP\",\"placed_at\":5,"
	         "\"lines\":[{\"sku\":\"\",\"quantity\":1,\"unit_price_minor\":2}]}}",
	         "lines: [0]: sku: found ''"},
		{"{\"type\":\"OrderCancelRequested\",\"event\":{\"order_id\":\"1\",\"requested_at\":1,\"more\":1}}",
	         "more"},
	};
	install();
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char *text = mem_format(GOOD "%s\n", cases[i].line);
		assert_int_equal(publish_text(text), REJECT);
		assert_true(err_is(&f.err, "told"));
		assert_non_null(strstr(f.errors, ":2: "));
		assert_non_null(strstr(f.errors, cases[i].text));
		assert_int_equal(f.produced, 0);
		mem_free(text);
	}
}

/* A pipe with this text in it, closed behind it, as a path. */
static const char *piped(const char *text)
{
	static char path[32];
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], text, strlen(text)), strlen(text));
	close(ends[1]);
	snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
	return path;
}

static void a_stream_is_published_up_to_the_first_wrong_line(void **state)
{
	(void)state;
	install();
	const char *path = piped(GOOD GOOD "nonsense\n" GOOD);
	f.options.source = PUBLISH_JSONL;
	f.options.files = &path;
	f.options.file_count = 1;
	assert_int_equal(publish(), REJECT);
	assert_non_null(strstr(f.errors, ":3: column 8: found no JSON"));
	assert_int_equal(f.result.sent.acknowledged, 2);
	path = piped(GOOD);
	assert_int_equal(publish(), OK);
	assert_int_equal(f.result.sent.acknowledged, 1);
}

static void a_log_that_never_answers_is_given_up(void **state)
{
	(void)state;
	install();
	f.delay_us = 1000000000;
	assert_int_equal(publish(), RETRY);
	assert_true(err_is(&f.err, "timeout"));
	assert_non_null(strstr(f.err.text, "nothing was acknowledged for 60 s"));
	assert_int_equal(f.result.sent.acknowledged, 0);
}

static void a_log_that_takes_nothing_is_given_up_with_what_came_of_the_last_try(void **state)
{
	(void)state;
	install();
	f.fate = LOG_MEMORY_LOSE;
	f.fail_count = INT64_MAX;
	f.options.sender.patience_ms = 1000;
	assert_int_equal(publish(), RETRY);
	assert_true(err_is(&f.err, "timeout"));
	if (!strstr(f.err.text, "nothing was acknowledged for 1 s; ") || !strstr(f.err.text, "; the last try: "))
		fail_msg("%s", f.err.text);
}

static void a_csv_is_published_whole_and_a_repeat_gives_the_same_keys(void **state)
{
	(void)state;
	static const char *const path = "tests/data/online-retail-sample.csv";
	install();
	f.options.source = PUBLISH_CSV;
	f.options.files = &path;
	f.options.file_count = 1;
	f.options.retail = (struct retail_options){.seed = 1, .stock_cover = 90, .cancel_one_in = 50};
	assert_int_equal(publish(), OK);
	int64_t first = f.result.total;
	read_back();
	size_t keys = f.keys.count;
	assert_int_equal(f.records, first);
	assert_int_equal(publish(), OK);
	read_back();
	assert_int_equal(f.records, 2 * first);
	assert_int_equal(f.keys.count, keys);
}

static void generated_ids_are_uuids_that_grow_or_do_not(void **state)
{
	(void)state;
	char last[37] = "", id[37];
	int grown = 0;
	for (uint64_t i = 0; i < 1000; i++) {
		generate_id(&f.options.generate, i, id);
		assert_int_equal(strlen(id), 36);
		assert_int_equal(id[14], '7');
		assert_non_null(strchr("89ab", id[19]));
		assert_true(strcmp(last, id) < 0);
		memcpy(last, id, sizeof last);
	}
	f.options.generate.ids = GENERATE_RANDOM;
	for (uint64_t i = 0; i < 1000; i++) {
		generate_id(&f.options.generate, i, id);
		assert_int_equal(id[14], '4');
		grown += strcmp(last, id) < 0;
		memcpy(last, id, sizeof last);
	}
	assert_in_range(grown, 400, 600);
}

static struct tally {
	int64_t lines, hot, lines_min, lines_max;
} tally;

static enum status tally_take(void *arg, const struct event_type *type, const void *event, struct err *err)
{
	(void)arg;
	(void)err;
	if (type != &order_placed_type)
		return OK;
	const struct order_placed *order = event;
	int64_t count = (int64_t)order->lines.count;
	tally.lines += count;
	tally.lines_min = count < tally.lines_min ? count : tally.lines_min;
	tally.lines_max = count > tally.lines_max ? count : tally.lines_max;
	for (size_t i = 0; i < order->lines.count; i++)
		tally.hot += strcmp(order->lines.items[i].sku, "sku-000010") <= 0;
	return OK;
}

static void generated_lines_are_skewed_as_asked(void **state)
{
	(void)state;
	struct generate_options options = f.options.generate;
	tally = (struct tally){.lines_min = 100};
	options.orders = 5000;
	options.skus = 1000;
	options.hot_percent = 90;
	options.lines_min = 2;
	options.lines_max = 5;
	assert_int_equal(generate_each(&options, &(struct publish_sink){tally_take, NULL}, &f.err), OK);
	assert_in_range(tally.hot * 1000 / tally.lines, 890, 912);
	assert_int_equal(tally.lines_min, 2);
	assert_int_equal(tally.lines_max, 5);
}

static void the_rate_is_kept(void **state)
{
	(void)state;
	install();
	f.options.sender.rate = 100;
	int64_t before = fake.monotonic_us;
	assert_int_equal(publish(), OK);
	assert_true(fake.monotonic_us - before >= 2190000);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(every_event_arrives_under_its_key_in_its_partition),
		TEST(without_genesis_nothing_is_sent),
		TEST(what_was_lost_is_sent_again),
		TEST(what_may_have_been_written_is_sent_again),
		TEST(a_log_that_takes_nothing_is_given_up_in_the_end),
		TEST(an_error_that_stays_ends_it_at_once),
		TEST(an_interrupted_run_is_resumed_by_running_it_again),
		TEST(a_dry_run_needs_no_log),
		TEST(cloudevents_name_the_natural_key),
		TEST(no_trace_is_begun_by_itself),
		TEST(traces_are_begun_for_the_share_that_is_asked_for),
		TEST(a_seed_gives_the_same_traces_again_and_another_one_others),
		TEST(traces_are_drawn_at_random_else),
		TEST(json_lines_are_published),
		TEST(a_file_with_a_wrong_line_is_not_begun),
		TEST(a_stream_is_published_up_to_the_first_wrong_line),
		TEST(a_log_that_never_answers_is_given_up),
		TEST(a_log_that_takes_nothing_is_given_up_with_what_came_of_the_last_try),
		TEST(a_csv_is_published_whole_and_a_repeat_gives_the_same_keys),
		TEST(generated_ids_are_uuids_that_grow_or_do_not),
		TEST(generated_lines_are_skewed_as_asked),
		TEST(the_rate_is_kept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
