/*
 * XREAD and XREADGROUP: entries behind an id, of several streams at once, now or as soon as there are any.
 *
 * While the command waits, `$` has become the id that was the last one when it came.
 */
#include <stdio.h>
#include <stdlib.h>

#include "commands.h"

typedef struct {
  bool is_group;
  bool has_group, no_ack;
  nx_slice group, consumer;
  int64_t count; /* 0: all */
  int64_t block_ms; /* -1: does not wait */
  uint32_t streams_at, stream_count;
  nx_stream_id *ids; /* NX_ID_MAX in a group: `>` */
  nx_queue **queues; /* NULL: missing */
  nx_group **groups;
  bool has_some, is_full; /* of the reply: entries; no room for the next one */
  nx_slice *patched; /* the arguments, `$` replaced */
  char (*texts)[NX_ID_TEXT_MAX];
} reading;

static void reading_free(reading *read) {
  free(read->ids);
  free(read->queues);
  free(read->groups);
  free(read->patched);
  free(read->texts);
}

static bool read_block(nx_resp *engine, nx_slice text, int64_t *block_ms) {
  if (!nx_integer_read(text, block_ms)) {
    nx_reply_error(engine, "ERR timeout is not an integer or out of range");
    return false;
  }
  if (*block_ms < 0) {
    nx_reply_error(engine, "ERR timeout is negative");
    return false;
  }
  if (*block_ms <= INT64_MAX - engine->now_ms) return true;
  nx_reply_error(engine, "ERR timeout is out of range");
  return false;
}

static bool read_streams(nx_resp *engine, reading *read, uint32_t at) {
  uint32_t words = engine->argc - at - 1;
  if (words % 2 != 0) {
    nx_reply_error(engine,
                   "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.");
    return false;
  }
  read->streams_at = at + 1;
  read->stream_count = words / 2;
  return true;
}

static bool read_options(nx_resp *engine, reading *read) {
  for (uint32_t at = 1; at < engine->argc; at++) {
    uint32_t more = engine->argc - at - 1;
    nx_slice word = engine->argv[at];
    if (nx_word_is(word, "block") && more > 0) {
      if (!read_block(engine, engine->argv[++at], &read->block_ms)) return false;
    } else if (nx_word_is(word, "count") && more > 0) {
      if (!nx_read_integer(engine, engine->argv[++at], &read->count)) return false;
      if (read->count < 0) read->count = 0;
    } else if (nx_word_is(word, "streams") && more > 0) {
      if (!read_streams(engine, read, at)) return false;
      break;
    } else if (nx_word_is(word, "group") && more >= 2) {
      if (!read->is_group) {
        nx_reply_error(engine,
                       "ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.");
        return false;
      }
      read->has_group = true;
      read->group = engine->argv[++at];
      read->consumer = engine->argv[++at];
    } else if (nx_word_is(word, "noack")) {
      if (!read->is_group) {
        nx_reply_error(engine,
                       "ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.");
        return false;
      }
      read->no_ack = true;
    } else {
      nx_reply_syntax_error(engine);
      return false;
    }
  }
  if (read->streams_at == 0) {
    nx_reply_syntax_error(engine);
    return false;
  }
  if (!read->is_group || read->has_group) return true;
  nx_reply_error(engine, "ERR Missing GROUP option for XREADGROUP");
  return false;
}

static bool is_one(nx_slice text, char what) { return text.length == 1 && text.data[0] == (uint8_t)what; }

/* The group of a stream that is read through one. */
static bool find_group(nx_resp *engine, const reading *read, nx_slice key, const nx_queue *queue,
                       nx_group **group) {
  *group = queue == NULL ? NULL : nx_group_find(queue->stream, read->group);
  if (*group != NULL) return true;
  /* A waiter is told that what it waited for is gone; a newcomer, that it was never there. */
  if (nx_is_again(engine)) {
    if (queue == NULL) nx_reply_error(engine, "UNBLOCKED the stream key no longer exists");
    else nx_reply_error(engine, "NOGROUP the consumer group this client was blocked on no longer exists");
    return false;
  }
  nx_reply_error(engine, "NOGROUP No such key '%.*s' or consumer group '%.*s' in XREADGROUP with GROUP option",
                 (int)(key.length < 400 ? key.length : 400), key.data,
                 (int)(read->group.length < 400 ? read->group.length : 400), read->group.data);
  return false;
}

static bool read_stream_id(nx_resp *engine, reading *read, uint32_t index) {
  nx_slice text = engine->argv[read->streams_at + read->stream_count + index];
  const nx_queue *queue = read->queues[index];
  if (is_one(text, '$')) {
    if (read->is_group) {
      nx_reply_error(engine,
                     "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this "
                     "consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just "
                     "return an empty result set.");
      return false;
    }
    read->ids[index] = queue == NULL ? (nx_stream_id){0, 0} : queue->stream->last;
    return true;
  }
  if (is_one(text, '>')) {
    if (!read->is_group) {
      nx_reply_error(engine,
                     "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> "
                     "option.");
      return false;
    }
    read->ids[index] = NX_ID_MAX;
    return true;
  }
  return nx_read_id(engine, text, false, 0, &read->ids[index]);
}

static bool find_streams(nx_resp *engine, reading *read) {
  uint32_t count = read->stream_count;
  read->ids = calloc(count + 1, sizeof *read->ids);
  read->queues = calloc(count + 1, sizeof *read->queues);
  read->groups = calloc(count + 1, sizeof *read->groups);
  NX_ASSERT(read->ids != NULL && read->queues != NULL && read->groups != NULL);
  for (uint32_t index = 0; index < count; index++) {
    nx_slice key = engine->argv[read->streams_at + index];
    if (nx_is_passed_over(engine, key)) continue;
    if (!nx_stream_of_key(engine, key, &read->queues[index])) return false;
    if (read->is_group && !find_group(engine, read, key, read->queues[index], &read->groups[index]))
      return false;
    if (!read_stream_id(engine, read, index)) return false;
  }
  return true;
}

static nx_stream_id last_entry_id(const nx_queue *queue) {
  return nx_stream_at(queue, queue->ring.count - 1).id;
}

static bool is_history(const reading *read, uint32_t index) {
  return read->is_group && nx_id_compare(read->ids[index], NX_ID_MAX) != 0;
}

/* Whether there is something to reply for this stream. */
static bool has_entries(const reading *read, uint32_t index) {
  const nx_queue *queue = read->queues[index];
  if (queue == NULL) return false;
  if (is_history(read, index)) return true;
  if (queue->stream->length == 0) return false;
  nx_stream_id behind = read->is_group ? read->groups[index]->last : read->ids[index];
  return nx_id_compare(last_entry_id(queue), behind) > 0;
}

/* Whether the reply goes on with this entry. The first one is tried whatever its length: then the command fails. */
static bool takes(const nx_resp *engine, reading *read, const nx_entry *entry) {
  read->is_full = read->has_some && !nx_entry_fits(engine, entry);
  return !read->is_full;
}

/* Whether a group has a limit on pending entries and is at it; then new entries are not delivered. */
static bool is_overdue(const reading *read, uint32_t index) {
  const nx_queue *queue = read->queues[index];
  if (queue == NULL || !read->is_group || read->no_ack || is_history(read, index)) return false;
  return nx_group_is_full(queue, read->groups[index]);
}

/* What is pending for the consumer already, behind the id: delivered once more. */
static void reply_history(nx_resp *engine, nx_resp_connection *connection, reading *read, uint32_t index,
                          nx_consumer *consumer) {
  uint64_t opened_at = nx_reply_array_open(engine), count = 0;
  nx_stream_id id = read->ids[index];
  while (nx_id_next(&id) && (read->count == 0 || count < (uint64_t)read->count)) {
    nx_pending *pending = nx_pending_lower(&consumer->pending, NX_OF_CONSUMER, id);
    if (pending == NULL) break;
    id = pending->id;
    nx_entry entry;
    if (nx_stream_find(read->queues[index], id, &entry)) {
      if (!takes(engine, read, &entry)) break;
      nx_reply_entry(engine, &entry);
      if (engine->reply_too_large) return;
      nx_group_deliver(read->queues[index], read->groups[index], consumer, id, engine->now_ms,
                       pending->deliveries + 1);
    } else {
      nx_reply_array(engine, 2);
      nx_reply_id(engine, id);
      nx_reply_null_array(engine, connection);
    }
    read->has_some = true;
    count += 1;
  }
  nx_reply_array_close(engine, opened_at, count);
}

static void reply_new(nx_resp *engine, reading *read, uint32_t index, nx_consumer *consumer) {
  nx_queue *queue = read->queues[index];
  nx_group *group = read->groups[index];
  nx_stream_id behind = group != NULL ? group->last : read->ids[index];
  uint64_t opened_at = nx_reply_array_open(engine), count = 0;
  uint64_t at = nx_id_next(&behind) ? nx_stream_lower(queue, behind) : queue->ring.count;
  for (; at < queue->ring.count && (read->count == 0 || count < (uint64_t)read->count); at++) {
    nx_entry entry = nx_stream_at(queue, at);
    if (entry.is_deleted) continue;
    if (is_overdue(read, index) || !takes(engine, read, &entry)) break;
    nx_reply_entry(engine, &entry);
    if (engine->reply_too_large) break;
    read->has_some = true;
    count += 1;
    if (group == NULL) continue;
    nx_group_advance(queue, group, entry.id);
    if (!read->no_ack) nx_group_deliver(queue, group, consumer, entry.id, engine->now_ms, 1);
  }
  if (group != NULL && count > 0) nx_group_record(queue, group);
  if (!engine->reply_too_large) nx_reply_array_close(engine, opened_at, count);
}

static void reply_stream(nx_resp *engine, nx_resp_connection *connection, reading *read, uint32_t index) {
  if (connection->protocol == 2) nx_reply_array(engine, 2);
  nx_reply_bulk(engine, engine->argv[read->streams_at + index]);
  nx_consumer *consumer = NULL;
  if (read->is_group)
    consumer = nx_consumer_see(read->queues[index], read->groups[index], read->consumer, engine->now_ms);
  if (is_history(read, index)) reply_history(engine, connection, read, index, consumer);
  else reply_new(engine, read, index, consumer);
}

/* A stream that is named twice has nothing left the second time, so the head comes last. */
static void reply_streams(nx_resp *engine, nx_resp_connection *connection, reading *read) {
  uint64_t opened_at = nx_reply_array_open(engine), count = 0;
  for (uint32_t index = 0; index < read->stream_count && !read->is_full; index++) {
    if (!has_entries(read, index)) continue;
    reply_stream(engine, connection, read, index);
    count += 1;
  }
  nx_reply_head_close(engine, opened_at, connection->protocol == 3 ? '%' : '*', count);
}

/* The arguments with each `$` as the id that it meant when the command came. */
static void patch(nx_resp *engine, reading *read) {
  read->patched = calloc(engine->argc, sizeof *read->patched);
  read->texts = calloc(read->stream_count, sizeof *read->texts);
  NX_ASSERT(read->patched != NULL && read->texts != NULL);
  memcpy(read->patched, engine->argv, engine->argc * sizeof *read->patched);
  for (uint32_t index = 0; index < read->stream_count; index++) {
    nx_slice *text = &read->patched[read->streams_at + read->stream_count + index];
    if (!is_one(*text, '$')) continue;
    int length = snprintf(read->texts[index], NX_ID_TEXT_MAX, "%llu-%llu", (unsigned long long)read->ids[index].ms,
                          (unsigned long long)read->ids[index].sequence);
    *text = (nx_slice){(const uint8_t *)read->texts[index], (uint64_t)length};
  }
  engine->argv = read->patched;
}

static void read_or_wait(nx_resp *engine, nx_resp_connection *connection, reading *read) {
  if (!read_options(engine, read) || !find_streams(engine, read)) return;
  bool is_ready = false;
  for (uint32_t index = 0; index < read->stream_count; index++) {
    if (!has_entries(read, index)) continue;
    is_ready = true;
    if (!is_overdue(read, index)) continue;
    nx_reply_error(engine,
                   "OOM the group has %llu entries that nobody acknowledged (channels.pendingMax): XACK them, or claim "
                   "what consumers left behind",
                   (unsigned long long)read->groups[index]->pending.count);
    return;
  }
  if (is_ready) {
    reply_streams(engine, connection, read);
    return;
  }
  if (read->block_ms < 0 || !nx_may_wait(engine, connection)) {
    nx_reply_null_array(engine, connection);
    return;
  }
  const nx_slice *argv = engine->argv;
  patch(engine, read);
  double deadline_ms = read->block_ms == 0 ? 0 : (double)(engine->now_ms + read->block_ms);
  nx_wait(engine, connection, engine->argv + read->streams_at, read->stream_count, deadline_ms);
  engine->argv = argv;
}

NX_QUEUE_COMMAND(xread) {
  reading read = {.block_ms = -1};
  read_or_wait(engine, connection, &read);
  reading_free(&read);
}

NX_QUEUE_COMMAND(xreadgroup) {
  reading read = {.block_ms = -1, .is_group = true};
  read_or_wait(engine, connection, &read);
  reading_free(&read);
}
