/* pace: not more than so many a second, waiting where it would be more. One thread. */
#ifndef TANDEM_REPLAY_PACE_H
#define TANDEM_REPLAY_PACE_H

#include "replay.h"

struct pace {
	const struct seam *seam;
	struct log *log; /* waits; its acknowledgements wake */
	int64_t rate;    /* a second; 0: no bound */
	int64_t started_us, admitted;
};

/* Lets one more through. What the sink holds back goes out before it waits. RETRY "interrupted"; else the sink's statuses. */
enum status pace_admit(struct pace *pace, const struct replay_sink *sink, bool (*stopped)(void), struct err *err);

#endif
