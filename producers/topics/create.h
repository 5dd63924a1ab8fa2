/* create: an installation's topics and their genesis, all or none. */
#ifndef TANDEM_TOPICS_CREATE_H
#define TANDEM_TOPICS_CREATE_H

#include "survey.h"

#include "seam.h"

struct create_request {
	const struct seam *seam;
	struct genesis_topic_array plan;
	bool single_replica;
	bool keyed; /* the log was opened with the secret */
	bool dry_run;
	int64_t patience_ms; /* how long the genesis records may take to be acknowledged */
};

/* Reads all that is there first, and refuses (FATAL "refused", problems told) before anything is made. Then makes the topics
 * that are missing; where one cannot be made, those of this run are deleted again. Then writes genesis to the empty
 * partitions, of the installation that is there or of a new one, and reads all of it back.
 *
 * It may be interrupted anywhere (RETRY "interrupted") and run again. On OK survey->genesis is the installation's and
 * *made says whether anything was. */
enum status create_run(struct survey *survey, const struct create_request *request, bool *made, struct err *err);

#endif
