/* Streams: adding, counting, ranges, deleting, trimming. */
#include <stdlib.h>

#include "commands.h"

bool nx_stream_of_key(nx_resp *engine, nx_slice key, nx_queue **queue) {
  *queue = nx_queue_find(engine->queues, key);
  if (*queue == NULL || (*queue)->kind == NX_QUEUE_STREAM) return true;
  bool is_gone = nx_queue_is_empty(*queue);
  *queue = NULL;
  if (!is_gone) nx_reply_wrong_type(engine);
  return is_gone;
}

/* --- XADD ----------------------------------------------------------------------------------------------- */

typedef struct {
  nx_trim trim;
  bool only_existing;
  bool has_id, has_sequence;
  nx_stream_id id;
  uint32_t fields_at;
} addition;

/* The id: `*`, `<ms>-*`, or a whole one. */
static bool read_new_id(nx_resp *engine, nx_slice text, addition *add) {
  add->has_id = !(text.length == 1 && text.data[0] == '*');
  if (!add->has_id) return true;
  add->has_sequence = !(text.length > 2 && memcmp(text.data + text.length - 2, "-*", 2) == 0);
  if (!add->has_sequence) text.length -= 2;
  if (!add->has_sequence && memchr(text.data, '-', text.length) != NULL) text.length = 0;
  return nx_read_id(engine, text, false, 0, &add->id);
}

static bool read_addition(nx_resp *engine, addition *add) {
  uint32_t at = 2;
  for (; at < engine->argc; at++) {
    bool is_option;
    if (!nx_trim_read(engine, &at, &add->trim, &is_option)) return false;
    if (is_option) {
      at--;
    } else if (nx_word_is(engine->argv[at], "nomkstream")) {
      add->only_existing = true;
    } else {
      if (!read_new_id(engine, engine->argv[at], add)) return false;
      break;
    }
  }
  if (!nx_trim_check(engine, &add->trim)) return false;
  add->fields_at = at + 1;
  uint32_t strings = engine->argc > add->fields_at ? engine->argc - add->fields_at : 0;
  if (strings >= 2 && strings % 2 == 0) {
    if (!add->has_id || !add->has_sequence || add->id.ms != 0 || add->id.sequence != 0) return true;
    nx_reply_error(engine, "ERR The ID specified in XADD must be greater than 0-0");
    return false;
  }
  nx_reply_error(engine, "ERR wrong number of arguments for 'xadd' command");
  return false;
}

/* The id of the next entry; false, with the error replied, when there can be none. */
static bool next_id(nx_resp *engine, const nx_stream *stream, const addition *add, nx_stream_id *id) {
  nx_stream_id last = stream->last;
  bool is_above = true;
  if (!add->has_id) {
    *id = (nx_stream_id){(uint64_t)engine->now_ms, 0};
    if (nx_id_compare(*id, last) <= 0) {
      *id = last;
      is_above = nx_id_next(id);
    }
  } else if (add->has_sequence) {
    *id = add->id;
    is_above = nx_id_compare(*id, last) > 0;
  } else {
    *id = (nx_stream_id){add->id.ms, 0};
    if (id->ms == last.ms) {
      id->sequence = last.sequence + 1;
      if (last.sequence == UINT64_MAX) {
        nx_reply_error(engine, "ERR Elements are too large to be stored");
        return false;
      }
    } else {
      is_above = id->ms > last.ms;
    }
  }
  if (is_above) return true;
  nx_reply_error(engine, "ERR The ID specified in XADD is equal or smaller than the target stream top item");
  return false;
}

static void add_entry(nx_resp *engine, nx_queue *queue, const addition *add) {
  nx_stream_id id;
  if (nx_id_compare(queue->stream->last, NX_ID_MAX) == 0) {
    nx_reply_error(engine, "ERR The stream has exhausted the last possible ID, unable to add more items");
    return;
  }
  if (!next_id(engine, queue->stream, add, &id)) return;
  int error = nx_stream_add(queue, id, engine->argv + add->fields_at, engine->argc - add->fields_at);
  if (error != 0) {
    nx_reply_no_room(engine, error);
    return;
  }
  nx_reply_id(engine, id);
  if (add->trim.by != NX_TRIM_NOT) nx_trim_apply(queue, &add->trim);
}

NX_QUEUE_COMMAND(xadd) {
  addition add = {.has_sequence = true};
  nx_slice key = engine->argv[1];
  nx_queue *queue;
  if (!read_addition(engine, &add)) return;
  if (!nx_stream_of_key(engine, key, &queue)) return;
  if (queue == NULL && add.only_existing) {
    nx_reply_null(engine, connection);
    return;
  }
  bool is_new = queue == NULL;
  if (is_new && !nx_key_may_be_made(engine, key)) return;
  uint64_t effects_length = nx_queues_effects(engine->queues)->length;
  if (is_new) queue = nx_queue_open(engine->queues, key, NX_QUEUE_STREAM);
  if (queue->kind != NX_QUEUE_STREAM) {
    nx_reply_wrong_type(engine);
    return;
  }
  add_entry(engine, queue, &add);
  if (is_new && queue->stream->added == 0) {
    nx_queue_remove(queue);
    nx_queues_effects(engine->queues)->length = effects_length;
  }
}

/* --- looking -------------------------------------------------------------------------------------------- */

NX_QUEUE_COMMAND(xlen) {
  (void)connection;
  nx_queue *queue;
  if (!nx_stream_of_key(engine, engine->argv[1], &queue)) return;
  nx_reply_integer(engine, queue == NULL ? 0 : (int64_t)queue->stream->length);
}

static void reply_range(nx_resp *engine, const nx_queue *queue, nx_stream_id start, nx_stream_id end,
                        bool is_reversed, uint64_t count_max) {
  uint64_t opened_at = nx_reply_array_open(engine), count = 0;
  uint64_t from = nx_stream_lower(queue, start), until = nx_stream_lower(queue, end);
  if (until < queue->ring.count && nx_id_compare(nx_stream_at(queue, until).id, end) == 0) until += 1;
  while (from < until && count < count_max) {
    nx_entry entry = nx_stream_at(queue, is_reversed ? --until : from++);
    if (entry.is_deleted) continue;
    nx_reply_entry(engine, &entry);
    if (engine->reply_too_large) return;
    count += 1;
  }
  nx_reply_array_close(engine, opened_at, count);
}

static void range_command(nx_resp *engine, nx_resp_connection *connection, bool is_reversed) {
  nx_stream_id start, end;
  int64_t count = INT64_MAX;
  const nx_slice *argv = engine->argv;
  nx_slice from = argv[is_reversed ? 3 : 2], until = argv[is_reversed ? 2 : 3];
  if (!nx_read_bound(engine, from, true, &start) || !nx_read_bound(engine, until, false, &end)) return;
  for (uint32_t index = 4; index < engine->argc; index += 2) {
    if (!nx_word_is(argv[index], "count") || index + 1 >= engine->argc) {
      nx_reply_syntax_error(engine);
      return;
    }
    if (!nx_read_integer(engine, argv[index + 1], &count)) return;
    if (count < 0) count = 0;
  }
  nx_queue *queue;
  if (!nx_stream_of_key(engine, argv[1], &queue)) return;
  if (queue == NULL) nx_reply_array(engine, 0);
  else if (count == 0) nx_reply_null_array(engine, connection);
  else reply_range(engine, queue, start, end, is_reversed, (uint64_t)count);
}

NX_QUEUE_COMMAND(xrange) { range_command(engine, connection, false); }
NX_QUEUE_COMMAND(xrevrange) { range_command(engine, connection, true); }

/* --- changing ------------------------------------------------------------------------------------------- */

NX_QUEUE_COMMAND(xdel) {
  (void)connection;
  nx_queue *queue;
  if (!nx_stream_of_key(engine, engine->argv[1], &queue)) return;
  if (queue == NULL) {
    nx_reply_integer(engine, 0);
    return;
  }
  uint32_t count = engine->argc - 2;
  nx_stream_id *ids = calloc(count, sizeof *ids);
  NX_ASSERT(ids != NULL);
  bool are_valid = true;
  for (uint32_t index = 0; are_valid && index < count; index++)
    are_valid = nx_read_id(engine, engine->argv[2 + index], false, 0, &ids[index]);
  if (are_valid) nx_reply_integer(engine, (int64_t)nx_stream_delete(queue, ids, count));
  free(ids);
}

NX_QUEUE_COMMAND(xtrim) {
  (void)connection;
  nx_trim trim = {0};
  for (uint32_t at = 2; at < engine->argc;) {
    bool is_option;
    if (!nx_trim_read(engine, &at, &trim, &is_option)) return;
    if (is_option) continue;
    nx_reply_syntax_error(engine);
    return;
  }
  if (trim.by == NX_TRIM_NOT && !trim.has_limit) {
    nx_reply_error(engine, "ERR syntax error, XTRIM must be called with a trimming strategy");
    return;
  }
  if (!nx_trim_check(engine, &trim)) return;
  nx_queue *queue;
  if (!nx_stream_of_key(engine, engine->argv[1], &queue)) return;
  nx_reply_integer(engine, queue == NULL ? 0 : (int64_t)nx_trim_apply(queue, &trim));
}

static bool read_setid_options(nx_resp *engine, nx_stream_id *deleted_max, int64_t *added) {
  for (uint32_t at = 3; at < engine->argc; at += 2) {
    bool has_value = at + 1 < engine->argc;
    if (has_value && nx_word_is(engine->argv[at], "entriesadded")) {
      if (!nx_read_integer(engine, engine->argv[at + 1], added)) return false;
      if (*added >= 0) continue;
      nx_reply_error(engine, "ERR entries_added must be positive");
      return false;
    }
    if (has_value && nx_word_is(engine->argv[at], "maxdeletedid")) {
      if (!nx_read_id(engine, engine->argv[at + 1], false, 0, deleted_max)) return false;
      continue;
    }
    nx_reply_syntax_error(engine);
    return false;
  }
  return true;
}

NX_QUEUE_COMMAND(xsetid) {
  (void)connection;
  nx_stream_id id, deleted_max = {0, 0};
  int64_t added = -1;
  nx_queue *queue;
  if (!nx_read_id(engine, engine->argv[2], false, 0, &id)) return;
  if (!read_setid_options(engine, &deleted_max, &added)) return;
  if (nx_id_compare(id, deleted_max) < 0) {
    nx_reply_error(engine, "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id");
    return;
  }
  if (!nx_stream_of_key(engine, engine->argv[1], &queue)) return;
  if (queue == NULL) {
    nx_reply_error(engine, "ERR no such key");
    return;
  }
  const nx_stream *stream = queue->stream;
  if (stream->length > 0) {
    if (nx_id_compare(id, nx_stream_at(queue, queue->ring.count - 1).id) < 0) {
      nx_reply_error(engine, "ERR The ID specified in XSETID is smaller than the target stream top item");
      return;
    }
    if (added >= 0 && stream->length > (uint64_t)added) {
      nx_reply_error(engine,
                     "ERR The entries_added specified in XSETID is smaller than the target stream length");
      return;
    }
  }
  bool sets_deleted = deleted_max.ms != 0 || deleted_max.sequence != 0;
  nx_stream_set(queue, id, sets_deleted ? deleted_max : stream->deleted_max,
                added >= 0 ? (uint64_t)added : stream->added);
  nx_reply_ok(engine);
}
