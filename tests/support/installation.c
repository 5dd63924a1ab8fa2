#include "installation.h"

#include "events.h"
#include "genesis.h"
#include "policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(enum status status, const struct err *err)
{
	if (status == OK)
		return;
	fprintf(stderr, "installation: %s\n", err->text);
	abort();
}

static void write_genesis(struct log *log, struct log_producer *producer, const struct genesis *genesis)
{
	struct arena arena = {0};
	struct log_record record;
	struct log_ack ack;
	struct err err = {0};
	must(genesis_record(genesis, &arena, &record, &err), &err);
	record.partition = genesis->partition;
	must(log_produce(producer, log_producer_topic(producer, genesis->topic), &record, 1, &err), &err);
	while (!log_producer_ack(producer, &ack))
		log_wait(log, 100);
	must(ack.status, &ack.err);
	arena_fini(&arena);
}

void installation_make(struct log *log, uint8_t id, int32_t orders, int32_t inventory)
{
	struct genesis_topic topics[] = {
		{"inventory", inventory, HEADER_FORM_COMPACT},     {"inventory.dlq", inventory, HEADER_FORM_COMPACT},
		{"order-events", orders, HEADER_FORM_CLOUDEVENTS}, {"orders", orders, HEADER_FORM_COMPACT},
		{"orders.dlq", orders, HEADER_FORM_COMPACT},
	};
	struct genesis genesis = {
		.topics = {topics, sizeof topics / sizeof *topics}, .single_replica = true, .logic_version = 1};
	struct log_setting settings[POLICY_SETTINGS_MAX];
	size_t setting_count = policy_settings(true, settings);
	struct log_producer *producer;
	struct err err = {0};
	memset(genesis.installation, id, sizeof genesis.installation);
	genesis.chain = CHAIN_KEY_PUBLIC;
	must(log_producer_open(log, &producer, &err), &err);
	for (size_t i = 0; i < genesis.topics.count; i++) {
		const struct log_topic topic = {.name = topics[i].name,
		                                .partitions = topics[i].partitions,
		                                .replicas = 1,
		                                .settings = settings,
		                                .setting_count = setting_count};
		must(log_topic_create(log, &topic, &err), &err);
		genesis.topic = topics[i].name;
		for (genesis.partition = 0; genesis.partition < topics[i].partitions; genesis.partition++)
			write_genesis(log, producer, &genesis);
	}
	log_producer_close(producer);
}

static void read_partition(struct log *log, const char *topic, int32_t partition,
                           void (*take)(void *arg, const struct log_record *record), void *arg)
{
	struct log_reader *reader;
	const struct log_record *record;
	struct err err = {0};
	must(log_reader_open(log, topic, partition, 1, &reader, &err), &err);
	for (;;) {
		must(log_reader_next(reader, 0, &record, &err), &err);
		if (!record)
			break;
		take(arg, record);
	}
	log_reader_close(reader);
}

void installation_read(struct log *log, const char *topic, void (*take)(void *arg, const struct log_record *record),
                       void *arg)
{
	struct arena arena = {0};
	struct genesis genesis;
	struct err err = {0};
	must(genesis_read(log, topic, 0, &arena, &genesis, &err), &err);
	int32_t partitions = genesis_topic(&genesis, topic)->partitions;
	for (int32_t i = 0; i < partitions; i++)
		read_partition(log, topic, i, take, arg);
	arena_fini(&arena);
}
