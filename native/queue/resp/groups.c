/* Consumer groups: XGROUP, XACK, XPENDING. */
#include <stdlib.h>

#include "commands.h"
#include "queue/internal.h"

static int shown(nx_slice text) { return (int)(text.length < 400 ? text.length : 400); }

/* The stream of an XGROUP subcommand; NULL, with the error replied, when there is none. */
static nx_queue *stream_of_group_command(nx_resp *engine) {
  nx_queue *queue;
  if (!nx_stream_of_key(engine, engine->argv[2], &queue)) return NULL;
  if (queue == NULL)
    nx_reply_error(engine,
                   "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use "
                   "the MKSTREAM option to create an empty stream automatically.");
  return queue;
}

static nx_group *group_of(nx_resp *engine, const nx_queue *queue) {
  nx_slice name = engine->argv[3], key = engine->argv[2];
  nx_group *group = nx_group_find(queue->stream, name);
  if (group == NULL)
    nx_reply_error(engine, "NOGROUP No such consumer group '%.*s' for key name '%.*s'", shown(name), name.data,
                   shown(key), key.data);
  return group;
}

typedef struct {
  bool makes_stream;
  int64_t entries_read;
} group_options;

static bool read_options(nx_resp *engine, group_options *options, bool may_make) {
  for (uint32_t at = 5; at < engine->argc; at++) {
    if (may_make && nx_word_is(engine->argv[at], "mkstream")) {
      options->makes_stream = true;
    } else if (nx_word_is(engine->argv[at], "entriesread") && at + 1 < engine->argc) {
      if (!nx_read_integer(engine, engine->argv[++at], &options->entries_read)) return false;
      if (options->entries_read >= 0 || options->entries_read == NX_READ_UNKNOWN) continue;
      nx_reply_error(engine, "ERR value for ENTRIESREAD must be positive or -1");
      return false;
    } else {
      nx_reply_error(engine, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try XGROUP HELP.",
                     shown(engine->argv[1]), engine->argv[1].data);
      return false;
    }
  }
  return true;
}

/* `$` is the stream's last id; with `is_open` also `-` and `+`. */
static bool read_group_id(nx_resp *engine, const nx_queue *queue, bool is_open, nx_stream_id *id) {
  nx_slice text = engine->argv[4];
  if (text.length == 1 && text.data[0] == '$') {
    *id = queue == NULL ? (nx_stream_id){0, 0} : queue->stream->last;
    return true;
  }
  return nx_read_id(engine, text, is_open, 0, id);
}

NX_QUEUE_COMMAND(xgroup_create) {
  (void)connection;
  group_options options = {.entries_read = NX_READ_UNKNOWN};
  nx_queue *queue;
  nx_stream_id id;
  if (!read_options(engine, &options, true)) return;
  if (options.makes_stream) {
    if (!nx_stream_of_key(engine, engine->argv[2], &queue)) return;
  } else {
    queue = stream_of_group_command(engine);
    if (queue == NULL) return;
  }
  if (!read_group_id(engine, queue, false, &id)) return;
  if (queue == NULL) {
    if (!nx_key_may_be_made(engine, engine->argv[2])) return;
    queue = nx_queue_open(engine->queues, engine->argv[2], NX_QUEUE_STREAM);
    if (queue->kind != NX_QUEUE_STREAM) {
      nx_reply_wrong_type(engine);
      return;
    }
    nx_queue_tell(queue, NX_QUEUE_CHANGED);
  }
  if (nx_group_find(queue->stream, engine->argv[3]) != NULL) {
    nx_reply_error(engine, "BUSYGROUP Consumer Group name already exists");
    return;
  }
  nx_group_set(queue, engine->argv[3], id, options.entries_read);
  nx_reply_ok(engine);
}

NX_QUEUE_COMMAND(xgroup_setid) {
  (void)connection;
  group_options options = {.entries_read = NX_READ_UNKNOWN};
  nx_stream_id id;
  if (!read_options(engine, &options, false)) return;
  nx_queue *queue = stream_of_group_command(engine);
  if (queue == NULL || group_of(engine, queue) == NULL) return;
  if (!read_group_id(engine, queue, true, &id)) return;
  nx_group_set(queue, engine->argv[3], id, options.entries_read);
  nx_reply_ok(engine);
}

NX_QUEUE_COMMAND(xgroup_destroy) {
  (void)connection;
  nx_queue *queue = stream_of_group_command(engine);
  if (queue == NULL) return;
  nx_group *group = nx_group_find(queue->stream, engine->argv[3]);
  if (group != NULL) {
    nx_group_remove(queue, group);
    /* Those who wait for the group are told. */
    nx_wait_signal(engine, engine->argv[2]);
  }
  nx_reply_integer(engine, group != NULL);
}

NX_QUEUE_COMMAND(xgroup_createconsumer) {
  (void)connection;
  nx_queue *queue = stream_of_group_command(engine);
  if (queue == NULL) return;
  nx_group *group = group_of(engine, queue);
  if (group == NULL) return;
  bool is_new = nx_consumer_find(group, engine->argv[4]) == NULL;
  if (is_new) nx_consumer_see(queue, group, engine->argv[4], engine->now_ms);
  nx_reply_integer(engine, is_new);
}

NX_QUEUE_COMMAND(xgroup_delconsumer) {
  (void)connection;
  nx_queue *queue = stream_of_group_command(engine);
  if (queue == NULL) return;
  nx_group *group = group_of(engine, queue);
  if (group == NULL) return;
  nx_consumer *consumer = nx_consumer_find(group, engine->argv[4]);
  int64_t pending = consumer == NULL ? 0 : (int64_t)consumer->pending.count;
  if (consumer != NULL) nx_consumer_remove(queue, group, consumer);
  nx_reply_integer(engine, pending);
}

static void reply_lines(nx_resp *engine, const char *const *lines, uint32_t count) {
  nx_reply_array(engine, count);
  for (uint32_t index = 0; index < count; index++) {
    nx_reply_literal(engine, "+");
    nx_reply_raw(engine, lines[index], strlen(lines[index]));
    nx_reply_literal(engine, "\r\n");
  }
}

NX_QUEUE_COMMAND(xgroup_help) {
  (void)connection;
  static const char *const lines[] = {
      "XGROUP <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
      "CREATE <key> <groupname> <id|$> [option]",
      "    Create a new consumer group. Options are:",
      "    * MKSTREAM",
      "      Create the empty stream if it does not exist.",
      "    * ENTRIESREAD entries_read",
      "      Set the group's entries_read counter (internal use).",
      "CREATECONSUMER <key> <groupname> <consumer>",
      "    Create a new consumer in the specified group.",
      "DELCONSUMER <key> <groupname> <consumer>",
      "    Remove the specified consumer.",
      "DESTROY <key> <groupname>",
      "    Remove the specified group.",
      "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
      "    Set the current group ID and entries_read counter.",
      "HELP",
      "    Prints this help.",
  };
  reply_lines(engine, lines, sizeof lines / sizeof lines[0]);
}

NX_QUEUE_COMMAND(xinfo_help) {
  (void)connection;
  static const char *const lines[] = {
      "XINFO <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
      "CONSUMERS <key> <groupname>",
      "    Show consumers of <groupname>.",
      "GROUPS <key>",
      "    Show the stream consumer groups.",
      "STREAM <key> [FULL [COUNT <count>]",
      "    Show information about the stream.",
      "HELP",
      "    Prints this help.",
  };
  reply_lines(engine, lines, sizeof lines / sizeof lines[0]);
}

NX_QUEUE_COMMAND(xack) {
  (void)connection;
  nx_queue *queue;
  if (!nx_stream_of_key(engine, engine->argv[1], &queue)) return;
  nx_group *group = queue == NULL ? NULL : nx_group_find(queue->stream, engine->argv[2]);
  if (group == NULL) {
    nx_reply_integer(engine, 0);
    return;
  }
  nx_stream_id id;
  for (uint32_t index = 3; index < engine->argc; index++)
    if (!nx_read_id(engine, engine->argv[index], false, 0, &id)) return;
  int64_t acknowledged = 0;
  for (uint32_t index = 3; index < engine->argc; index++) {
    bool is_read = nx_read_id(engine, engine->argv[index], false, 0, &id);
    NX_ASSERT(is_read);
    acknowledged += nx_group_settle(queue, group, id);
  }
  nx_reply_integer(engine, acknowledged);
}

/* --- XPENDING ------------------------------------------------------------------------------------------- */

static void reply_pending_summary(nx_resp *engine, nx_resp_connection *connection, const nx_group *group) {
  nx_reply_array(engine, 4);
  nx_reply_integer(engine, (int64_t)group->pending.count);
  if (group->pending.count == 0) {
    nx_reply_null(engine, connection);
    nx_reply_null(engine, connection);
    nx_reply_null_array(engine, connection);
    return;
  }
  nx_reply_id(engine, nx_pending_lower(&group->pending, NX_OF_GROUP, (nx_stream_id){0, 0})->id);
  nx_reply_id(engine, nx_pending_last(&group->pending, NX_OF_GROUP)->id);
  uint64_t opened_at = nx_reply_array_open(engine), count = 0;
  for (uint32_t index = 0; index < group->consumer_count; index++) {
    const nx_consumer *consumer = group->consumers[index];
    if (consumer->pending.count == 0) continue;
    char digits[NX_INTEGER_TEXT_MAX];
    nx_reply_array(engine, 2);
    nx_reply_bulk(engine, (nx_slice){consumer->name, consumer->name_length});
    nx_reply_bulk(engine,
                  (nx_slice){(uint8_t *)digits, nx_integer_print((int64_t)consumer->pending.count, digits)});
    count += 1;
  }
  nx_reply_array_close(engine, opened_at, count);
}

typedef struct {
  nx_stream_id start, end;
  int64_t count, idle_min_ms;
  nx_slice consumer; /* data NULL: all */
} pending_query;

static bool read_pending_query(nx_resp *engine, pending_query *query) {
  uint32_t at = 3;
  *query = (pending_query){.idle_min_ms = 0};
  if (engine->argc < 6 || engine->argc > 9) {
    nx_reply_syntax_error(engine);
    return false;
  }
  if (nx_word_is(engine->argv[3], "idle")) {
    if (!nx_read_integer(engine, engine->argv[4], &query->idle_min_ms)) return false;
    if (engine->argc < 8) {
      nx_reply_syntax_error(engine);
      return false;
    }
    at = 5;
  }
  if (!nx_read_integer(engine, engine->argv[at + 2], &query->count)) return false;
  if (query->count < 0) query->count = 0;
  if (!nx_read_bound(engine, engine->argv[at], true, &query->start)) return false;
  if (!nx_read_bound(engine, engine->argv[at + 1], false, &query->end)) return false;
  if (at + 3 < engine->argc) query->consumer = engine->argv[at + 3];
  return true;
}

static void reply_pending_list(nx_resp *engine, const nx_group *group, const pending_query *query) {
  const nx_pending_tree *tree = &group->pending;
  int which = NX_OF_GROUP;
  if (query->consumer.data != NULL) {
    const nx_consumer *consumer = nx_consumer_find(group, query->consumer);
    if (consumer == NULL) {
      nx_reply_array(engine, 0);
      return;
    }
    tree = &consumer->pending;
    which = NX_OF_CONSUMER;
  }
  uint64_t opened_at = nx_reply_array_open(engine), count = 0;
  nx_stream_id id = query->start;
  while (count < (uint64_t)query->count) {
    const nx_pending *pending = nx_pending_lower(tree, which, id);
    if (pending == NULL || nx_id_compare(pending->id, query->end) > 0) break;
    int64_t idle_ms = engine->now_ms - pending->delivered_ms;
    if (idle_ms >= query->idle_min_ms) {
      nx_reply_array(engine, 4);
      nx_reply_id(engine, pending->id);
      nx_reply_bulk(engine, (nx_slice){pending->consumer->name, pending->consumer->name_length});
      nx_reply_integer(engine, idle_ms < 0 ? 0 : idle_ms);
      nx_reply_integer(engine, (int64_t)pending->deliveries);
      count += 1;
    }
    if (engine->reply_too_large) return;
    id = pending->id;
    if (!nx_id_next(&id)) break;
  }
  nx_reply_array_close(engine, opened_at, count);
}

NX_QUEUE_COMMAND(xpending) {
  pending_query query;
  bool is_summary = engine->argc == 3;
  nx_queue *queue;
  if (!is_summary && !read_pending_query(engine, &query)) return;
  nx_slice key = engine->argv[1], name = engine->argv[2];
  if (!nx_stream_of_key(engine, key, &queue)) return;
  const nx_group *group = queue == NULL ? NULL : nx_group_find(queue->stream, name);
  if (group == NULL)
    nx_reply_error(engine, "NOGROUP No such key '%.*s' or consumer group '%.*s'", shown(key), key.data, shown(name),
                   name.data);
  else if (is_summary) reply_pending_summary(engine, connection, group);
  else reply_pending_list(engine, group, &query);
}
