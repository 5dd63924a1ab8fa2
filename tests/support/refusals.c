#include "refusals.h"

#define LOG "test_refusals_log.c"
#define FILES "test_refusals_file.c"
#define RECORD "test_refusals_record.c"
#define WORKER "test_worker.c"
#define LOCK "test_lock.c"
#define RESEND "test_resend.c"

const struct refusal_row refusals[] = {
        {"common/worker.c", "forked", LOG, "another_record_where_the_last_one_was_is_a_fork_restored_or_folded_afresh"},
        {"common/worker.c", "mark_differs", LOG, "a_changed_log_below_the_mark_deletes_the_file_before_it_halts"},
        {"common/worker.c", "truncated", LOG, "a_tail_that_goes_while_the_task_is_opened_is_seen_at_the_end"},
        {"common/worker.c", "mark_record", LOG, "a_tail_that_goes_while_catching_up_is_seen_at_the_end"},
        {"common/worker.c", "unknown_topic", LOG, "without_its_topic_a_worker_ends_and_says_how_to_make_it"},
        {"common/worker.c", "group_busy", LOG, "marks_are_not_committed_beside_a_group_until_it_has_ended"},
        {"common/worker.c", "timeout", WORKER, "a_stop_that_waits_for_acknowledgements_gives_up_after_30_s"},
        {"common/worker_open.c", "unknown_topic", LOG, "an_input_that_has_gone_halts_until_it_is_back"},
        {"common/worker_open.c", "retention", LOG, "a_log_without_its_head_is_refused_until_it_is_restored"},
        {"common/worker_open.c", "truncated", LOG, "a_log_without_its_tail_is_refused_until_it_is_restored"},
        {"common/worker_open.c", "mark_record", LOG, "a_mark_beyond_the_log_is_refused_and_nothing_is_folded_in_silence"},
        {"common/worker_open.c", "corrupt", FILES, "an_unreadable_mark_in_the_file_is_refused_until_it_is_deleted"},
        {"common/worker_open.c", "io", FILES, "a_folder_that_cannot_be_made_is_tried_again_and_shown"},
        {"common/worker_open.c", "foreign_destination", LOG, "outputs_to_a_topic_of_another_installation_wait_until_it_is_restored"},
        {"common/task.c", "other_tables", FILES, "tables_of_another_program_are_refused_until_the_file_is_deleted"},
        {"common/task.c", "foreign_file", FILES, "the_file_of_another_partition_is_refused_until_it_is_deleted"},
        {"common/task.c", "unknown_version", FILES, "a_file_of_a_newer_version_waits_for_a_newer_program"},
        {"common/task.c", "unknown_version", LOG, "a_log_that_begins_with_a_newer_version_waits_for_a_newer_program"},
        {"common/task.c", "foreign_log", LOG, "a_genesis_that_makes_no_sense_halts_until_the_topic_is_restored"},
        {"common/task.c", "foreign_log", FILES, "the_file_of_another_installation_is_refused_until_it_is_deleted"},
        {"common/task.c", "partition_count", FILES, "pinned_counts_that_differ_from_the_log_are_refused_until_the_file_is_deleted"},
        {"common/task_fold.c", "handler", RECORD, "a_handler_that_emits_to_nowhere_halts_until_the_program_is_replaced"},
        {"common/task_fold.c", "unknown_schema", RECORD, "a_numbered_event_of_an_unknown_type_waits_for_a_newer_program"},
        {"common/task_fold.c", "numbered_publisher_event", RECORD, "a_publishers_event_that_comes_numbered_halts"},
        {"common/task_fold.c", "unknown_version", RECORD, "a_logic_version_that_is_too_new_waits_for_a_newer_program"},
        {"common/task_fold.c", "unknown_control", RECORD, "a_control_record_that_is_none_of_ours_stays_until_the_log_is_restored"},
        {"common/task_fold.c", "unknown_control", RECORD, "a_control_record_that_is_none_of_ours_stays_until_the_log_is_restored"},
        {"common/task_fold.c", "no_genesis", RECORD, "a_task_wants_its_records_in_order_and_from_the_first"},
        {"common/task_fold.c", "newer_header", RECORD, "a_header_of_a_newer_version_stays_until_the_log_is_restored"},
        {"common/task_fold.c", "out_of_order", RECORD, "a_task_wants_its_records_in_order_and_from_the_first"},
        {"common/genesis.c", "bad_genesis", LOG, "a_genesis_that_makes_no_sense_halts_until_the_topic_is_restored"},
        {"common/genesis.c", "bad_genesis", LOG, "a_genesis_that_makes_no_sense_halts_until_the_topic_is_restored"},
        {"common/genesis.c", "bad_genesis", LOG, "a_genesis_that_makes_no_sense_halts_until_the_topic_is_restored"},
        {"common/genesis.c", "bad_genesis", LOG, "a_genesis_that_makes_no_sense_halts_until_the_topic_is_restored"},
        {"common/genesis.c", "unknown_version", LOG, "a_genesis_that_makes_no_sense_halts_until_the_topic_is_restored"},
        {"common/genesis.c", "no_genesis", LOG, "a_topic_that_was_not_made_by_us_halts_until_it_is_made_anew"},
        {"common/genesis.c", "unknown_version", LOG, "a_genesis_that_cannot_be_read_halts_until_it_can"},
        {"common/genesis.c", "bad_genesis", LOG, "a_genesis_that_cannot_be_read_halts_until_it_can"},
        {"common/genesis.c", "no_genesis", LOG, "a_partition_without_genesis_halts_until_topics_create_has_written_it"},
        {"common/genesis.c", "installation", RESEND, "a_destination_of_another_installation_is_refused"},
        {"common/genesis.c", "bad_genesis", RESEND, "a_destination_with_another_list_of_topics_is_refused"},
        {"common/policy.c", "unknown_topic", LOG, "a_topic_that_has_gone_halts_until_it_is_created_again"},
        {"common/policy.c", "partition_count", LOG, "more_partitions_than_pinned_end_in_a_new_installation_with_the_publishers_events"},
        {"common/policy.c", "topic_settings", LOG, "a_setting_that_would_lose_records_halts_until_it_is_set_right"},
        {"common/lock.c", "locked", FILES, "a_file_that_another_process_holds_is_waited_for"},
        {"common/lock.c", "locked", LOCK, "a_holder_that_has_not_said_who_it_is_is_held_by_another_process"},
        {"common/lock.c", "io", LOCK, "a_lock_file_that_cannot_be_made_says_why"},
        {"common/lock.c", "io", LOCK, "a_lock_file_that_cannot_be_made_says_why"},
        {"common/lock.c", "io", LOCK, "a_lock_file_that_cannot_be_made_says_why"},
        {"consumers/order.c", "unknown_order", RECORD, "an_answer_for_an_order_that_is_not_there_halts"},
        {"consumers/order.c", "contradiction", RECORD, "an_answer_that_contradicts_the_one_before_halts"},
        {"consumers/inventory.c", "corrupt", RECORD, "a_refusal_that_cannot_be_read_back_halts_until_the_file_is_rebuilt"},
        {"consumers/inventory.c", "not_owned", RECORD, "a_command_for_stock_of_another_partition_halts"},
        {"consumers/inventory.c", "malformed_command", RECORD, "a_command_with_lines_out_of_order_halts"},
        {"consumers/inventory.c", "malformed_command", RECORD, "a_command_without_lines_halts"},
        {"consumers/inventory.c", "illegal_transition", RECORD, "a_commit_of_nothing_halts"},
};

const size_t refusal_count = sizeof refusals / sizeof *refusals;
