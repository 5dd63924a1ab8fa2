/* script: an input taken for a task's records, in a form that lets a fuzzer get far: most records make sense (real events with
 * few ids, numbered events with the right number and chain), and any of them can be twisted before or after it is numbered.
 *
 * Input: the service (1 byte: its first bit; where its next two are both set, genesis is of the bytes that follow; its fifth:
 * it holds the keys of what it rejects, and letters are named by control records and headers), then steps. A step is a byte, its kind modulo SCRIPT_KINDS, and what that kind reads (script.c). */
#ifndef TANDEM_TESTS_FUZZ_SCRIPT_H
#define TANDEM_TESTS_FUZZ_SCRIPT_H

#include "events.h"
#include "fuzz.h"
#include "log.h"
#include "service.h"

#define SCRIPT_ORDERS      2 /* partitions of the installation */
#define SCRIPT_INVENTORIES 3
#define SCRIPT_STEPS_MAX   64

enum { SCRIPT_ORDER, SCRIPT_INVENTORY };

struct script {
	int which;
	bool holds; /* keys of what is rejected: services of the installation do not */
	const struct service *service;
	struct service own; /* then */
	int32_t partition;
	struct log_record records[SCRIPT_STEPS_MAX + 1]; /* the first is meant for a genesis */
	bool commit[SCRIPT_STEPS_MAX + 1];               /* behind this record */
	size_t count, bytes;                             /* bytes: of keys, values and headers */
	struct arena arena;
};

/* The installation's, of one partition. Its topics live for ever. */
struct genesis script_genesis(const char *topic, int32_t partition);

/* To be freed by script_fini. */
void script_read(struct script *script, const uint8_t *data, size_t size);
void script_fini(struct script *script);

#endif
