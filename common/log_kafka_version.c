#include "log.h"

#include <librdkafka/rdkafka.h>

int log_kafka_version(void)
{
	return rd_kafka_version();
}
