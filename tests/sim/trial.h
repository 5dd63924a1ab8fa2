/* trial: what trials share. See sim.h for what a trial is; which ones there are stands at the end of trial.c. */
#ifndef TANDEM_SIM_TRIAL_H
#define TANDEM_SIM_TRIAL_H

#include "sim.h"

#define TRIAL_ANY (-1) /* service, partition: all of them */

struct trial {
	struct world *world;
	struct dice *dice;
	const char *name;
	int service, topic; /* and its input */
	int32_t partition;
	struct log_record *records; /* of the input's partition, before */
	size_t count;
	int64_t end;
};

bool trial_fail(struct trial *trial, const char *what); /* false */

/* ---- what a trial does ---- */

void trial_close_service(struct world *world, int service);
void trial_delete_files(struct trial *trial); /* of its partition, in every folder; nobody has them open */
void trial_cut(struct trial *trial, int64_t from);
void trial_append(struct trial *trial, const struct log_record *records, size_t count);
void trial_put_back(struct trial *trial, int64_t from); /* the input's partition is as it was */

/* ---- what must come of it: false where it does not ---- */

/* When nothing moves any more, these tasks are set aside with this reason, and no others are. */
bool trial_is_refused(struct trial *trial, int service, int32_t partition, const char *code);
bool trial_has_recovered(struct trial *trial); /* everything is right again */

/* ---- trials: true: as it must be, or there was nothing that it could happen to ---- */

/* trial_log.c */
bool trial_truncated(struct trial *trial);
bool trial_forked(struct trial *trial);
bool trial_mark_record(struct trial *trial);
bool trial_mark_differs(struct trial *trial);
bool trial_mark_kept(struct trial *trial);
bool trial_retention(struct trial *trial);

/* trial_place.c */
bool trial_partitions_added(struct trial *trial);
bool trial_setting(struct trial *trial);
bool trial_foreign_log(struct trial *trial);
bool trial_foreign_destination(struct trial *trial);
bool trial_foreign_file(struct trial *trial);
bool trial_file_short(struct trial *trial);

#endif
