/*
 * Moving records to other nodes: batches of what belongs there, removed here once the other node has them.
 *
 * Invariant: a record is removed only if it is still what was sent.
 */
#include "engine.h"

typedef struct {
  nx_legacy *engine;
  uint64_t min, max;
  uint64_t visited;
  bool is_full;
} movers;

static void visit_mover(void *context, nx_slice key, const nx_record *record) {
  movers *to = context;
  nx_legacy *engine = to->engine;
  uint64_t number;
  to->visited += 1;
  if (to->is_full || !nx_hex_number(key, &number) || record->value.length == 0) return;
  if (!nx_is_in_range(number, to->min, to->max)) return;
  uint64_t size = 16 + NX_HEX_KEY_BYTES + record->value.length;
  if (record->expires_at_ms != 0 || size > engine->settings[NX_LEGACY_BATCH_BYTES]) {
    /* A batch carries neither; moved without its expiry a record would live for ever. */
    if (!engine->has_kept)
      nx_events_say(&engine->events, "records that expire or that no batch holds stay here, key %.16s is one",
               (const char *)key.data);
    engine->has_kept = true;
    return;
  }
  if (engine->content.length + size > engine->settings[NX_LEGACY_BATCH_BYTES]) {
    to->is_full = true;
    return;
  }
  nx_append_array(&engine->content, key);
  nx_append_array(&engine->content, record->value);
}

void nx_legacy_migrate_begin(nx_legacy *engine) {
  engine->migrate_cursor = 0;
  engine->has_migrated = false;
  engine->has_kept = false;
}

/* Content stays in `content` until nx_legacy_migrated compares it; other calls may overwrite it, so it is
 * also kept in `task`. */
uint32_t nx_legacy_migrate(nx_legacy *engine, const uint8_t *name, uint64_t name_length, uint64_t min,
                           uint64_t max, double now_ms) {
  nx_legacy_begin_call(engine, now_ms);
  engine->content.length = 0;
  engine->task.length = 0;
  movers to = {engine, min, max, 0, false};
  nx_slice text = {name, name_length};
  nx_channel *channel = nx_legacy_channel(engine, text);
  bool is_done = channel == NULL || engine->has_migrated;
  while (!is_done && !to.is_full && to.visited < 8192) {
    uint64_t next = nx_channel_scan(channel, engine->migrate_cursor, engine->now_ms, visit_mover, &to);
    to.visited += 1;
    if (to.is_full) break; /* the bucket is met again, without what was moved */
    engine->migrate_cursor = next;
    is_done = next == 0;
  }
  engine->has_migrated = is_done;
  uint32_t outcome = is_done ? NX_LEGACY_MIGRATED : NX_LEGACY_MIGRATE_LOOKING;
  if (engine->content.length > 0) {
    outcome = NX_LEGACY_MIGRATE_BATCH;
    nx_buffer_append(&engine->task, engine->content.data, engine->content.length);
    nx_store32(nx_reserve(&engine->replies, 4), NX_LEGACY_PUT_BATCH);
    engine->replies.length += 4;
    nx_append_array(&engine->replies, text);
    nx_batch_append(engine, &engine->replies);
  }
  nx_legacy_end_call(engine, NULL);
  return outcome;
}

uint32_t nx_legacy_migrated(nx_legacy *engine, const uint8_t *name, uint64_t name_length, double now_ms) {
  nx_legacy_begin_call(engine, now_ms);
  uint32_t removed = 0;
  nx_channel *channel = nx_legacy_channel(engine, (nx_slice){name, name_length});
  nx_slice key, value;
  uint64_t at = 0;
  while (channel != NULL && nx_batch_field(&engine->task, &at, &key) &&
         nx_batch_field(&engine->task, &at, &value)) {
    nx_record record;
    if (!nx_channel_get(channel, key, engine->now_ms, &record) || record.value.length != value.length ||
        memcmp(record.value.data, value.data, value.length) != 0)
      continue;
    removed += nx_channel_remove(channel, key, engine->now_ms);
    nx_figures_action(&engine->figures, NX_ACTION_DELETED, value.length);
  }
  engine->task.length = 0;
  nx_legacy_end_call(engine, NULL);
  return removed;
}
