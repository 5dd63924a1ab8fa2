/* acls: what each program of an installation must be allowed on a broker with access control, and no more, from the services'
 * descriptions. Pure functions.
 *
 * Roles: each service; `publisher`; `auditor` (verify, audit, explain, replay, status); `operator` (topics, resend, rebuild, dlq).
 * On Kafka Read and Write imply Describe, Delete does too. */
#ifndef TANDEM_TOPICS_ACLS_H
#define TANDEM_TOPICS_ACLS_H

#include "command.h"
#include "events.h"
#include "mem.h"

struct acl {
	const char *role, *operation, *resource; /* "order", "Read", "Topic": Kafka's words */
	const char *name;                        /* of the topic or group, with the namespace */
	const char *use;                         /* what it is for */
};

struct acl_list {
	struct acl *items;
	size_t count;
};

/* By role, in the arena. topics: all of the installation (plan_topics). */
void acls_list(const struct command *const *all, size_t count, const struct genesis_topic_array *topics,
               const char *name_space, struct arena *arena, struct acl_list *out);

#endif
