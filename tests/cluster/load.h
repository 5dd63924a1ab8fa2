/* load: an installation on the cluster whose publisher and workers run while brokers fail, and what must hold in the end.
 *
 * Set-up and teardown of every test here: *state is a struct load. The installation stays where it is: it goes with the
 * cluster. */
#ifndef TANDEM_TESTS_LOAD_H
#define TANDEM_TESTS_LOAD_H

#include "../support/recovery.h"
#include "../support/rig.h"
#include "../support/view.h"
#include "nodes.h"

#define LOAD_WORKERS_MAX 3
#define LOAD_PARTITIONS  3   /* of orders and of inventory */
#define LOAD_SECONDS     180 /* the limit of most waits */

enum { LOAD_ORDER, LOAD_INVENTORY, LOAD_SERVICES };
extern const char *const load_services[LOAD_SERVICES];

struct load {
	struct rig rig;
	struct rig_process *publisher;
	struct rig_process *workers[LOAD_SERVICES][LOAD_WORKERS_MAX];
	const char *options;        /* of every worker */
	bool static_members;        /* each has an instance id */
	int64_t sent, acknowledged; /* by publishers that have ended */
	int64_t orders_sent;
	int publishers; /* seeds used */
	bool witnessed; /* a publisher and readers of the test note what they do, and the history is judged (witness.h) */
	int64_t orders_witnessed;
	struct recovery recovery;
	struct view view; /* load_finish: what an outside reader saw */
};

/* Stock that runs short soon. */
int load_open_short(void **state);
int load_close(void **state);

/* The topic's partitions are on brokers 1 and 2 alone, the others' on all; stock covers everything. */
int load_open_two_replicas(void **state, const char *topic);

void load_publish(struct load *load); /* orders without end */
/* Publishing has been stopped, what was acknowledged is lost: the same orders once more, and only they count. */
void load_publish_again(struct load *load);
/* Another installation on the same brokers, which gets what publishers' events this one still has. Ends the workers. */
void load_begin_anew(struct load *load);
void load_start(struct load *load, int service, int worker);
void load_start_all(struct load *load, int workers);        /* so many of each service */
void load_stop(struct load *load, int service, int worker); /* SIGTERM: must end with 0 */
void load_stop_service(struct load *load, int service);

int64_t load_outcomes(struct load *load); /* orders that have an end, as the order workers' files have it */
int64_t load_folded(struct load *load, const char *service); /* the positions of the service's files, summed */
void load_flows(struct load *load, int64_t more);            /* waits until so many more orders have an end */

/* The fault happens now: `test` is __func__. */
void load_fault(struct load *load, const char *test, const char *fault);

void load_stop_publishing(struct load *load); /* what it has sent is acknowledged, or it says what is not */

/* Stops publishing where that goes on; drained; the time is noted; workers ended; every partition of every service
 * verified; audited; read as an outsider reads: every order placed has its one end, and what was acknowledged is there. */
void load_finish(struct load *load);
void load_drain(struct load *load); /* the part of it up to the time */
void load_prove(struct load *load); /* the rest */

#endif
