#include "refusals.h"

const struct refusal_row refusals[] = {
        {"common/policy.c", "unknown_topic", "test_refusals_log.c", "a_topic_that_has_gone_halts_until_it_is_created_again"},
};

const size_t refusal_count = sizeof refusals / sizeof *refusals;
