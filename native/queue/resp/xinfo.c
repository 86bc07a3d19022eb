/* XINFO: what a stream, its groups and their consumers are. */
#include "commands.h"

static nx_queue *stream_of(nx_resp *engine) {
  nx_queue *queue;
  if (!nx_stream_of_key(engine, engine->argv[2], &queue)) return NULL;
  if (queue == NULL) nx_reply_error(engine, "ERR no such key");
  return queue;
}

static void reply_read_and_lag(nx_resp *engine, const nx_resp_connection *connection, const nx_queue *queue,
                               const nx_group *group) {
  int64_t lag;
  nx_reply_word(engine, "entries-read");
  if (group->entries_read == NX_READ_UNKNOWN) nx_reply_null(engine, connection);
  else nx_reply_integer(engine, group->entries_read);
  nx_reply_word(engine, "lag");
  if (nx_group_lag(queue, group, &lag)) nx_reply_integer(engine, lag);
  else nx_reply_null(engine, connection);
}

static int64_t idle_ms(const nx_resp *engine, int64_t since_ms) {
  return engine->now_ms > since_ms ? engine->now_ms - since_ms : 0;
}

/* Redis tells of the shape of its tree; the ring has none, so this is what a tree of full nodes would have. */
static void reply_shape(nx_resp *engine, const nx_queue *queue) {
  int64_t nodes = (int64_t)((queue->stream->length + 99) / 100);
  nx_reply_word(engine, "radix-tree-keys");
  nx_reply_integer(engine, nodes);
  nx_reply_word(engine, "radix-tree-nodes");
  nx_reply_integer(engine, nodes + 1);
}

static void reply_head(nx_resp *engine, const nx_queue *queue) {
  const nx_stream *stream = queue->stream;
  nx_reply_word(engine, "length");
  nx_reply_integer(engine, (int64_t)stream->length);
  reply_shape(engine, queue);
  nx_reply_word(engine, "last-generated-id");
  nx_reply_id(engine, stream->last);
  nx_reply_word(engine, "max-deleted-entry-id");
  nx_reply_id(engine, stream->deleted_max);
  nx_reply_word(engine, "entries-added");
  nx_reply_integer(engine, (int64_t)stream->added);
  nx_reply_word(engine, "recorded-first-entry-id");
  nx_reply_id(engine, stream->length == 0 ? (nx_stream_id){0, 0} : nx_stream_first_id(queue));
}

static void reply_end_entry(nx_resp *engine, const nx_resp_connection *connection, const nx_queue *queue,
                            bool is_last) {
  if (queue->stream->length == 0) {
    nx_reply_null(engine, connection);
    return;
  }
  nx_entry entry = nx_stream_at(queue, is_last ? queue->ring.count - 1 : 0);
  nx_reply_entry(engine, &entry);
}

/* Up to `count` pending entries in tree order; 0: all. */
static void reply_pending(nx_resp *engine, const nx_pending_tree *tree, int which, uint64_t count_max) {
  uint64_t opened_at = nx_reply_array_open(engine), count = 0;
  nx_stream_id id = {0, 0};
  while (count_max == 0 || count < count_max) {
    const nx_pending *pending = nx_pending_lower(tree, which, id);
    if (pending == NULL || engine->reply_too_large) break;
    nx_reply_array(engine, which == NX_OF_GROUP ? 4 : 3);
    nx_reply_id(engine, pending->id);
    if (which == NX_OF_GROUP)
      nx_reply_bulk(engine, (nx_slice){pending->consumer->name, pending->consumer->name_length});
    nx_reply_integer(engine, pending->delivered_ms);
    nx_reply_integer(engine, (int64_t)pending->deliveries);
    count += 1;
    id = pending->id;
    if (!nx_id_next(&id)) break;
  }
  if (!engine->reply_too_large) nx_reply_array_close(engine, opened_at, count);
}

static void reply_group_full(nx_resp *engine, const nx_resp_connection *connection, const nx_queue *queue,
                             const nx_group *group, uint64_t count) {
  nx_reply_map(engine, connection, 7);
  nx_reply_word(engine, "name");
  nx_reply_bulk(engine, (nx_slice){group->name, group->name_length});
  nx_reply_word(engine, "last-delivered-id");
  nx_reply_id(engine, group->last);
  reply_read_and_lag(engine, connection, queue, group);
  nx_reply_word(engine, "pel-count");
  nx_reply_integer(engine, (int64_t)group->pending.count);
  nx_reply_word(engine, "pending");
  reply_pending(engine, &group->pending, NX_OF_GROUP, count);
  nx_reply_word(engine, "consumers");
  nx_reply_array(engine, group->consumer_count);
  for (uint32_t index = 0; index < group->consumer_count; index++) {
    const nx_consumer *consumer = group->consumers[index];
    nx_reply_map(engine, connection, 4);
    nx_reply_word(engine, "name");
    nx_reply_bulk(engine, (nx_slice){consumer->name, consumer->name_length});
    nx_reply_word(engine, "seen-time");
    nx_reply_integer(engine, consumer->seen_ms);
    nx_reply_word(engine, "pel-count");
    nx_reply_integer(engine, (int64_t)consumer->pending.count);
    nx_reply_word(engine, "pending");
    reply_pending(engine, &consumer->pending, NX_OF_CONSUMER, count);
  }
}

static void reply_full(nx_resp *engine, const nx_resp_connection *connection, const nx_queue *queue,
                       uint64_t count_max) {
  nx_reply_map(engine, connection, 9);
  reply_head(engine, queue);
  nx_reply_word(engine, "entries");
  uint64_t opened_at = nx_reply_array_open(engine), count = 0;
  for (uint64_t at = 0; at < queue->ring.count && (count_max == 0 || count < count_max); at++) {
    nx_entry entry = nx_stream_at(queue, at);
    if (entry.is_deleted) continue;
    nx_reply_entry(engine, &entry);
    if (engine->reply_too_large) return;
    count += 1;
  }
  nx_reply_array_close(engine, opened_at, count);
  nx_reply_word(engine, "groups");
  nx_reply_array(engine, queue->stream->group_count);
  for (uint32_t index = 0; index < queue->stream->group_count; index++)
    reply_group_full(engine, connection, queue, queue->stream->groups[index], count_max);
}

NX_QUEUE_COMMAND(xinfo_stream) {
  const nx_queue *queue = stream_of(engine);
  if (queue == NULL) return;
  if (engine->argc > 3) {
    int64_t count = 10;
    bool is_full = nx_word_is(engine->argv[3], "full") && (engine->argc == 4 || engine->argc == 6);
    if (!is_full || (engine->argc == 6 && !nx_word_is(engine->argv[4], "count"))) {
      nx_reply_error(engine, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try XINFO HELP.",
                     (int)engine->argv[1].length, engine->argv[1].data);
      return;
    }
    if (engine->argc == 6 && !nx_read_integer(engine, engine->argv[5], &count)) return;
    reply_full(engine, connection, queue, count < 0 ? 10 : (uint64_t)count);
    return;
  }
  nx_reply_map(engine, connection, 10);
  reply_head(engine, queue);
  nx_reply_word(engine, "groups");
  nx_reply_integer(engine, queue->stream->group_count);
  nx_reply_word(engine, "first-entry");
  reply_end_entry(engine, connection, queue, false);
  nx_reply_word(engine, "last-entry");
  reply_end_entry(engine, connection, queue, true);
}

NX_QUEUE_COMMAND(xinfo_groups) {
  const nx_queue *queue = stream_of(engine);
  if (queue == NULL) return;
  nx_reply_array(engine, queue->stream->group_count);
  for (uint32_t index = 0; index < queue->stream->group_count; index++) {
    const nx_group *group = queue->stream->groups[index];
    nx_reply_map(engine, connection, 6);
    nx_reply_word(engine, "name");
    nx_reply_bulk(engine, (nx_slice){group->name, group->name_length});
    nx_reply_word(engine, "consumers");
    nx_reply_integer(engine, group->consumer_count);
    nx_reply_word(engine, "pending");
    nx_reply_integer(engine, (int64_t)group->pending.count);
    nx_reply_word(engine, "last-delivered-id");
    nx_reply_id(engine, group->last);
    reply_read_and_lag(engine, connection, queue, group);
  }
}

NX_QUEUE_COMMAND(xinfo_consumers) {
  const nx_queue *queue = stream_of(engine);
  if (queue == NULL) return;
  nx_slice name = engine->argv[3], key = engine->argv[2];
  const nx_group *group = nx_group_find(queue->stream, name);
  if (group == NULL) {
    nx_reply_error(engine, "NOGROUP No such consumer group '%.*s' for key name '%.*s'",
                   (int)(name.length < 400 ? name.length : 400), name.data,
                   (int)(key.length < 400 ? key.length : 400), key.data);
    return;
  }
  nx_reply_array(engine, group->consumer_count);
  for (uint32_t index = 0; index < group->consumer_count; index++) {
    const nx_consumer *consumer = group->consumers[index];
    nx_reply_map(engine, connection, 3);
    nx_reply_word(engine, "name");
    nx_reply_bulk(engine, (nx_slice){consumer->name, consumer->name_length});
    nx_reply_word(engine, "pending");
    nx_reply_integer(engine, (int64_t)consumer->pending.count);
    nx_reply_word(engine, "idle");
    nx_reply_integer(engine, idle_ms(engine, consumer->seen_ms));
  }
}
