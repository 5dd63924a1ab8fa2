/* kafka_admin: what an operator's hands can do to a broker's topics and groups that Tandem itself never does: records deleted at
 * the head of a partition, partitions added, a group's offsets deleted. By librdkafka's admin calls to $KAFKA; topics and groups
 * with their namespace in front. Each returns "" or the broker's error; a broker that does not answer fails the test. */
#ifndef TANDEM_TESTS_KAFKA_ADMIN_H
#define TANDEM_TESTS_KAFKA_ADMIN_H

#include "rig.h"

/* All records before this offset. */
const char *kafka_admin_delete_records(struct rig *rig, const char *topic, int32_t partition, int64_t before);
const char *kafka_admin_add_partitions(struct rig *rig, const char *topic, int32_t count); /* so many altogether */
/* Those of every partition of the topic. */
const char *kafka_admin_delete_offsets(struct rig *rig, const char *group, const char *topic, int32_t partitions);

/* An ACL, in Kafka's words: User:order may Read the Topic x. Returns when the broker goes by it. */
struct kafka_acl {
	const char *principal, *operation, *resource, *name;
};
const char *kafka_admin_grant(const struct kafka_acl *acls, size_t count);
const char *kafka_admin_revoke(const struct kafka_acl *acl);

#endif
