/* partitions: the list a person gives ("0,2-4"), and how many there are. */
#ifndef TANDEM_PARTITIONS_H
#define TANDEM_PARTITIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "log.h"

#define PARTITIONS_MAX 4096

struct partitions {
	int32_t *items; /* sorted, each once; partitions_fini frees */
	size_t count;
};

/* "0,2-4". REJECT "usage" says what is wrong. */
enum status partitions_parse(const char *text, struct partitions *out, struct err *err);

/* All partitions of a topic. FATAL unknown_topic, or what the log says. */
enum status partitions_all(struct log *log, const char *topic, struct partitions *out, struct err *err);

/* text where it is given (checked against the topic), else all of the topic. */
enum status partitions_choose(struct log *log, const char *topic, const char *text, struct partitions *out,
                              struct err *err);
void partitions_fini(struct partitions *partitions);

#endif
