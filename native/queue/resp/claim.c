/*
 * XCLAIM and XAUTOCLAIM: entries whose consumer let them lie go to another one.
 *
 * With a limit on deliveries (nx_queues_dead_letters) an entry that was delivered so often without being
 * acknowledged is not handed out once more: it moves to the dead-letter channel, in one run of effects.
 */
#include "commands.h"
#include "queue/dead.h"

static int shown(nx_slice text) { return (int)(text.length < 400 ? text.length : 400); }

typedef struct {
  int64_t idle_min_ms;
  int64_t delivered_ms; /* -1: now */
  int64_t deliveries;   /* -1: one more */
  bool is_forced, only_ids, has_last;
  bool has_some, is_full; /* of the reply: entries; no room for the next one */
  nx_stream_id last;
} claim;

/* The group of the command, or NULL with the error replied. */
static nx_group *find_group(nx_resp *engine, nx_queue **queue) {
  nx_slice key = engine->argv[1], name = engine->argv[2];
  if (!nx_stream_of_key(engine, key, queue)) return NULL;
  nx_group *group = *queue == NULL ? NULL : nx_group_find((*queue)->stream, name);
  if (group == NULL)
    nx_reply_error(engine, "NOGROUP No such key '%.*s' or consumer group '%.*s'", shown(key), key.data, shown(name),
                   name.data);
  return group;
}

static bool read_idle(nx_resp *engine, nx_slice text, int64_t *idle_ms, const char *command) {
  if (!nx_integer_read(text, idle_ms)) {
    nx_reply_error(engine, "ERR Invalid min-idle-time argument for %s", command);
    return false;
  }
  if (*idle_ms < 0) *idle_ms = 0;
  return true;
}

static bool read_number_option(nx_resp *engine, uint32_t at, const char *name, int64_t *value) {
  if (nx_integer_read(engine->argv[at], value)) return true;
  nx_reply_error(engine, "ERR Invalid %s option argument for XCLAIM", name);
  return false;
}

/* Options behind the ids, from `at` on. */
static bool read_options(nx_resp *engine, uint32_t at, claim *options) {
  for (; at < engine->argc; at++) {
    nx_slice word = engine->argv[at];
    bool has_value = at + 1 < engine->argc;
    if (nx_word_is(word, "force")) {
      options->is_forced = true;
    } else if (nx_word_is(word, "justid")) {
      options->only_ids = true;
    } else if (has_value && nx_word_is(word, "idle")) {
      if (!read_number_option(engine, ++at, "IDLE", &options->delivered_ms)) return false;
      options->delivered_ms = engine->now_ms - options->delivered_ms;
    } else if (has_value && nx_word_is(word, "time")) {
      if (!read_number_option(engine, ++at, "TIME", &options->delivered_ms)) return false;
    } else if (has_value && nx_word_is(word, "retrycount")) {
      if (!read_number_option(engine, ++at, "RETRYCOUNT", &options->deliveries)) return false;
    } else if (has_value && nx_word_is(word, "lastid")) {
      options->has_last = true;
      if (!nx_read_id(engine, engine->argv[++at], false, 0, &options->last)) return false;
    } else {
      nx_reply_error(engine, "ERR Unrecognized XCLAIM option '%.*s'", shown(word), word.data);
      return false;
    }
  }
  return true;
}

/* One entry to the consumer; true when it is in the reply. */
static bool claim_one(nx_resp *engine, nx_queue *queue, nx_group *group, nx_stream_id id,
                      claim *options) {
  nx_pending *pending = nx_pending_find(&group->pending, NX_OF_GROUP, id);
  nx_entry entry;
  if (!nx_stream_find(queue, id, &entry)) {
    /* What was deleted need not be acknowledged by anyone. */
    if (pending != NULL) nx_group_settle(queue, group, id);
    return false;
  }
  if (pending == NULL && (!options->is_forced || nx_group_is_full(queue, group))) return false;
  if (pending != NULL && options->idle_min_ms > 0 &&
      engine->now_ms - pending->delivered_ms < options->idle_min_ms)
    return false;
  if (pending != NULL && nx_is_dead(queue, pending)) {
    if (nx_bury(queue, group, id)) return false;
  }
  options->is_full = !options->only_ids && options->has_some && !nx_entry_fits(engine, &entry);
  if (options->is_full) return false;
  if (options->only_ids) nx_reply_id(engine, id);
  else nx_reply_entry(engine, &entry);
  if (engine->reply_too_large) return false;
  options->has_some = true;
  uint64_t deliveries = pending == NULL ? 1 : pending->deliveries;
  if (options->deliveries >= 0) deliveries = (uint64_t)options->deliveries;
  else if (!options->only_ids) deliveries += 1;
  nx_consumer *consumer = nx_consumer_see(queue, group, engine->argv[3], engine->now_ms);
  int64_t delivered_ms = options->delivered_ms;
  nx_group_deliver(queue, group, consumer, id, delivered_ms, deliveries);
  return true;
}

NX_QUEUE_COMMAND(xclaim) {
  (void)connection;
  claim options = {.delivered_ms = engine->now_ms, .deliveries = -1};
  nx_queue *queue;
  nx_stream_id id;
  nx_group *group = find_group(engine, &queue);
  if (group == NULL) return;
  if (!read_idle(engine, engine->argv[4], &options.idle_min_ms, "XCLAIM")) return;
  uint32_t ids_end = 5;
  /* The ids end where the first word is none; the error, if it is one, is about an option then. */
  while (ids_end < engine->argc && nx_is_id(engine->argv[ids_end])) ids_end += 1;
  if (!read_options(engine, ids_end, &options)) return;
  if (options.delivered_ms < 0 || options.delivered_ms > engine->now_ms) options.delivered_ms = engine->now_ms;
  if (options.has_last && nx_id_compare(options.last, group->last) > 0) {
    group->last = options.last;
    nx_group_record(queue, group);
  }
  uint64_t opened_at = nx_reply_array_open(engine), count = 0;
  for (uint32_t index = 5; index < ids_end && !engine->reply_too_large && !options.is_full; index++) {
    bool is_read = nx_read_id(engine, engine->argv[index], false, 0, &id);
    NX_ASSERT(is_read);
    count += claim_one(engine, queue, group, id, &options);
  }
  if (!engine->reply_too_large) nx_reply_array_close(engine, opened_at, count);
}

/* --- XAUTOCLAIM ----------------------------------------------------------------------------------------- */

typedef struct {
  claim options;
  nx_stream_id start;
  int64_t count;
} sweep;

static bool read_sweep(nx_resp *engine, sweep *to) {
  if (!read_idle(engine, engine->argv[4], &to->options.idle_min_ms, "XAUTOCLAIM")) return false;
  if (!nx_read_bound(engine, engine->argv[5], true, &to->start)) return false;
  for (uint32_t at = 6; at < engine->argc; at++) {
    if (nx_word_is(engine->argv[at], "count") && at + 1 < engine->argc) {
      if (!nx_integer_read(engine->argv[++at], &to->count) || to->count < 1 || to->count > INT64_MAX / 24) {
        nx_reply_error(engine, "ERR COUNT must be > 0");
        return false;
      }
    } else if (nx_word_is(engine->argv[at], "justid")) {
      to->options.only_ids = true;
    } else {
      nx_reply_syntax_error(engine);
      return false;
    }
  }
  return true;
}

/* At most `count` entries are claimed, and ten times as many looked at. */
static void run_sweep(nx_resp *engine, nx_queue *queue, nx_group *group, sweep *wanted) {
  nx_stream_id id = wanted->start, next = {0, 0};
  nx_buffer deleted = {0};
  uint64_t ids_at = engine->replies.length;
  uint64_t opened_at = nx_reply_array_open(engine), claimed = 0;
  int64_t attempts = wanted->count * 10, left = wanted->count;
  for (;;) {
    nx_pending *pending = nx_pending_lower(&group->pending, NX_OF_GROUP, id);
    if (pending == NULL || engine->reply_too_large) break;
    id = pending->id;
    if (attempts-- == 0 || left == 0) {
      next = id;
      break;
    }
    nx_entry entry;
    if (!nx_stream_find(queue, id, &entry)) {
      nx_group_settle(queue, group, id);
      nx_buffer_append(&deleted, &id, sizeof id);
      left -= 1;
    } else {
      bool is_claimed = claim_one(engine, queue, group, id, &wanted->options);
      if (wanted->options.is_full) {
        next = id;
        break;
      }
      claimed += is_claimed;
      left -= is_claimed;
    }
    if (!nx_id_next(&id)) break;
  }
  if (!engine->reply_too_large) nx_reply_array_close(engine, opened_at, claimed);
  nx_buffer claims = {0};
  nx_buffer_append(&claims, engine->replies.data + ids_at, engine->replies.length - ids_at);
  engine->replies.length = ids_at;
  nx_reply_array(engine, 3);
  nx_reply_id(engine, next);
  nx_reply_raw(engine, claims.data, claims.length);
  nx_reply_array(engine, deleted.length / sizeof id);
  for (uint64_t at = 0; at < deleted.length; at += sizeof id) {
    memcpy(&id, deleted.data + at, sizeof id);
    nx_reply_id(engine, id);
  }
  nx_buffer_free(&claims);
  nx_buffer_free(&deleted);
}

NX_QUEUE_COMMAND(xautoclaim) {
  (void)connection;
  sweep wanted = {.count = 100, .options = {.delivered_ms = engine->now_ms, .deliveries = -1}};
  nx_queue *queue;
  if (!read_sweep(engine, &wanted)) return;
  nx_group *group = find_group(engine, &queue);
  if (group != NULL) run_sweep(engine, queue, group, &wanted);
}
