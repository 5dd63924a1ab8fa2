/* Every error of librdkafka that a caller may have to tell apart, in one table. What is not in it may pass. */
#include "log_kafka.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define E(name) RD_KAFKA_RESP_ERR_##name

static const struct {
	rd_kafka_resp_err_t error;
	enum status status;
	const char *code;
} table[] = {
	{E(UNKNOWN_TOPIC_OR_PART), FATAL, "unknown_topic"},
	{E(_UNKNOWN_TOPIC), FATAL, "unknown_topic"},
	{E(_UNKNOWN_PARTITION), FATAL, "unknown_partition"},
	{E(TOPIC_ALREADY_EXISTS), REJECT, "topic_exists"},

	{E(MSG_SIZE_TOO_LARGE), FATAL, "too_large"},
	{E(RECORD_LIST_TOO_LARGE), FATAL, "too_large"},
	{E(INVALID_MSG_SIZE), FATAL, "too_large"},

	{E(TOPIC_AUTHORIZATION_FAILED), FATAL, "not_authorized"},
	{E(GROUP_AUTHORIZATION_FAILED), FATAL, "not_authorized"},
	{E(CLUSTER_AUTHORIZATION_FAILED), FATAL, "not_authorized"},
	{E(TRANSACTIONAL_ID_AUTHORIZATION_FAILED), FATAL, "not_authorized"},
	{E(SECURITY_DISABLED), FATAL, "not_authorized"},
	{E(_AUTHENTICATION), FATAL, "authentication"},
	{E(SASL_AUTHENTICATION_FAILED), FATAL, "authentication"},
	{E(UNSUPPORTED_SASL_MECHANISM), FATAL, "authentication"},
	{E(ILLEGAL_SASL_STATE), FATAL, "authentication"},

	{E(OFFSET_OUT_OF_RANGE), FATAL, "out_of_range"},
	{E(_AUTO_OFFSET_RESET), FATAL, "out_of_range"},
	{E(_BAD_MSG), FATAL, "corrupt"},
	{E(_BAD_COMPRESSION), FATAL, "corrupt"},
	{E(_NOT_IMPLEMENTED), FATAL, "unsupported"},
	{E(_UNSUPPORTED_FEATURE), FATAL, "unsupported"},
	{E(UNSUPPORTED_VERSION), FATAL, "unsupported"},
	{E(UNSUPPORTED_FOR_MESSAGE_FORMAT), FATAL, "unsupported"},

	{E(_INVALID_ARG), FATAL, "invalid"},
	{E(TOPIC_EXCEPTION), FATAL, "invalid"},
	{E(INVALID_PARTITIONS), FATAL, "invalid"},
	{E(INVALID_REPLICATION_FACTOR), FATAL, "invalid"},
	{E(INVALID_REPLICA_ASSIGNMENT), FATAL, "invalid"},
	{E(INVALID_CONFIG), FATAL, "invalid"},
	{E(INVALID_REQUEST), FATAL, "invalid"},
	{E(INVALID_RECORD), FATAL, "invalid"},
	{E(INVALID_TIMESTAMP), FATAL, "invalid"},
	{E(INVALID_GROUP_ID), FATAL, "invalid"},
	{E(INVALID_SESSION_TIMEOUT), FATAL, "invalid"},
	{E(INVALID_COMMIT_OFFSET_SIZE), FATAL, "invalid"},
	{E(OFFSET_METADATA_TOO_LARGE), FATAL, "invalid"},
	{E(INCONSISTENT_GROUP_PROTOCOL), FATAL, "invalid"},
	{E(POLICY_VIOLATION), FATAL, "invalid"},

	{E(ILLEGAL_GENERATION), FATAL, "fenced"},
	{E(UNKNOWN_MEMBER_ID), FATAL, "fenced"},
	{E(REBALANCE_IN_PROGRESS), FATAL, "fenced"},
	{E(FENCED_INSTANCE_ID), FATAL, "fenced"},
	{E(_ASSIGNMENT_LOST), FATAL, "fenced"},
	{E(NON_EMPTY_GROUP), RETRY, "group_busy"},
	{E(GROUP_SUBSCRIBED_TO_TOPIC), RETRY, "group_busy"},

	{E(_QUEUE_FULL), RETRY, "queue_full"},
	{E(_TIMED_OUT), RETRY, "timeout"},
	{E(_TIMED_OUT_QUEUE), RETRY, "timeout"},
	{E(_MSG_TIMED_OUT), RETRY, "timeout"},
	{E(REQUEST_TIMED_OUT), RETRY, "timeout"},
	{E(NOT_ENOUGH_REPLICAS), RETRY, "busy"},
	{E(NOT_ENOUGH_REPLICAS_AFTER_APPEND), RETRY, "busy"},
	{E(LEADER_NOT_AVAILABLE), RETRY, "busy"},
	{E(NOT_LEADER_FOR_PARTITION), RETRY, "busy"},
	{E(COORDINATOR_LOAD_IN_PROGRESS), RETRY, "busy"},
	{E(COORDINATOR_NOT_AVAILABLE), RETRY, "busy"},
	{E(NOT_COORDINATOR), RETRY, "busy"},
	{E(NOT_CONTROLLER), RETRY, "busy"},
	{E(_IN_PROGRESS), RETRY, "busy"},
	{E(KAFKA_STORAGE_ERROR), RETRY, "io"},
	{E(INVALID_MSG), RETRY, "io"},
	/* The idempotent producer gives up: a new one writes again. */
	{E(_FATAL), RETRY, "io"},
	{E(_GAPLESS_GUARANTEE), RETRY, "io"},
	{E(_INCONSISTENT), RETRY, "io"},
	{E(OUT_OF_ORDER_SEQUENCE_NUMBER), RETRY, "io"},
	{E(UNKNOWN_PRODUCER_ID), RETRY, "io"},
	{E(INVALID_PRODUCER_EPOCH), RETRY, "io"},
};

enum status kafka_classify(rd_kafka_resp_err_t error, const char **code)
{
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		if (table[i].error == error) {
			*code = table[i].code;
			return table[i].status;
		}
	}
	*code = "transport";
	return RETRY;
}

enum status kafka_err(struct err *err, rd_kafka_resp_err_t error, const char *why, const char *format, ...)
{
	const char *code;
	enum status status = kafka_classify(error, &code);
	char what[300];
	va_list args;
	va_start(args, format);
	vsnprintf(what, sizeof what, format, args);
	va_end(args);
	return err_set(err, status, code, "%s: %s", what, why && *why ? why : rd_kafka_err2str(error));
}

enum status kafka_denied(struct err *err, enum status status, const char *operation, const char *resource,
                         const char *name)
{
	struct err found;
	if (status == OK || !err || !err_is(err, "not_authorized"))
		return status;
	found = *err;
	return err_set(err, status, "not_authorized",
	               "%.300s; missing: %s on %s %s%s; `tandem topics acls` shows who needs what", found.text,
	               operation, resource, name,
	               strcmp(operation, "Describe") == 0 ? ", which Read and Write imply" : "");
}

/* librdkafka has no error of its own for it: in TLS 1.3 the alert comes when the handshake seems done, as "Receive failed". What
 * it passes on is OpenSSL's "error:<library and reason, in hexadecimal>:", whose reason is certificate_verify_failed, or 1000
 * and the alert (RFC 8446, 6): 40 to 49 are about the handshake and certificates, 116 is certificate_required. */
bool kafka_certificate_refused(const char *reason)
{
	enum { VERIFY_FAILED = 134, ALERT = 1000 };
	const char *at = strstr(reason, "error:");
	unsigned long code = at ? strtoul(at + strlen("error:"), NULL, 16) & 0xfff : 0;
	return code == VERIFY_FAILED || (code >= ALERT + 40 && code <= ALERT + 49) || code == ALERT + 116;
}

/* Opaque is conf's: the client. */
static int on_certificate(rd_kafka_t *rk, const char *broker, int32_t id, int *error, int depth, const char *bytes,
                          size_t size, char *text, size_t room, void *opaque)
{
	struct kafka_client *client = opaque;
	(void)rk;
	(void)broker;
	(void)id;
	(void)bytes;
	(void)size;
	(void)text;
	(void)room;
	/* From the authority's down to the broker's own. Two refusals may be told when both are over: each keeps its reason. */
	if (*error || depth == 0)
		atomic_store(&client->certificate, *error);
	return !*error;
}

/* Where librdkafka is built without TLS it says so when it is asked for. */
void kafka_certificate_watch(rd_kafka_conf_t *conf)
{
	rd_kafka_conf_set_ssl_cert_verify_cb(conf, on_certificate);
}

bool kafka_certificate_of_another_host(struct kafka_client *client)
{
	enum { HOSTNAME_MISMATCH = 62, IP_ADDRESS_MISMATCH = 64 }; /* openssl/x509_vfy.h, X509_V_ERR_... */
	int error = atomic_load(&client->certificate);
	return error == HOSTNAME_MISMATCH || error == IP_ADDRESS_MISMATCH;
}
