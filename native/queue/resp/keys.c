/* Commands about channels rather than their records: existence, names, iteration, removal. */
#include <stdlib.h>

#include "commands.h"
#include "queue/internal.h"
#include "resp/commands.h"
#include "resp/glob.h"
#include "resp/number.h"

static bool exists(const nx_queue *queue) { return queue != NULL && !nx_queue_is_empty(queue); }

NX_QUEUE_COMMAND(del) {
  (void)connection;
  int64_t removed = 0;
  for (uint32_t index = 1; index < engine->argc; index++) {
    nx_queue *queue = nx_queue_find(engine->queues, engine->argv[index]);
    if (!exists(queue)) continue;
    nx_queue_remove(queue);
    removed += 1;
  }
  nx_reply_integer(engine, removed);
}

NX_QUEUE_COMMAND(exists) {
  (void)connection;
  int64_t found = 0;
  for (uint32_t index = 1; index < engine->argc; index++)
    found += exists(nx_queue_find(engine->queues, engine->argv[index]));
  nx_reply_integer(engine, found);
}

NX_QUEUE_COMMAND(type) {
  (void)connection;
  const nx_queue *queue = nx_queue_find(engine->queues, engine->argv[1]);
  if (!exists(queue)) nx_reply_literal(engine, "+none\r\n");
  else if (queue->kind == NX_QUEUE_STREAM) nx_reply_literal(engine, "+stream\r\n");
  else nx_reply_literal(engine, "+list\r\n");
}

/* Channels do not expire. */
NX_QUEUE_COMMAND(ttl) {
  (void)connection;
  nx_reply_integer(engine, exists(nx_queue_find(engine->queues, engine->argv[1])) ? -1 : -2);
}

NX_QUEUE_COMMAND(keys) {
  (void)connection;
  uint64_t opened_at = nx_reply_array_open(engine), count = 0;
  for (const nx_queue *queue = nx_queues_first(engine->queues); queue != NULL; queue = queue->next) {
    if (!exists(queue) || !nx_glob_matches(engine->argv[1], nx_queue_name(queue))) continue;
    nx_reply_bulk(engine, nx_queue_name(queue));
    if (engine->reply_too_large) return;
    count += 1;
  }
  nx_reply_array_close(engine, opened_at, count);
}

typedef struct {
  nx_slice pattern, type;
  int64_t count;
} scan_options;

static bool read_scan_options(nx_resp *engine, scan_options *options) {
  for (uint32_t index = 2; index < engine->argc; index += 2) {
    nx_slice word = engine->argv[index];
    if (index + 1 >= engine->argc) {
      nx_reply_syntax_error(engine);
      return false;
    }
    nx_slice value = engine->argv[index + 1];
    if (nx_word_is(word, "match")) {
      options->pattern = value;
    } else if (nx_word_is(word, "type")) {
      options->type = value;
    } else if (!nx_word_is(word, "count")) {
      nx_reply_syntax_error(engine);
      return false;
    } else if (!nx_read_integer(engine, value, &options->count)) {
      return false;
    } else if (options->count < 1) {
      nx_reply_syntax_error(engine);
      return false;
    }
  }
  return true;
}

static bool is_wanted(const nx_queue *queue, const scan_options *options) {
  if (!exists(queue)) return false;
  if (options->pattern.data != NULL && !nx_glob_matches(options->pattern, nx_queue_name(queue))) return false;
  const char *kind = queue->kind == NX_QUEUE_STREAM ? "stream" : "list";
  return options->type.data == NULL || nx_word_is(options->type, kind);
}

static uint64_t reversed(uint64_t bits) {
  uint64_t out = 0;
  for (int bit = 0; bit < 64; bit++, bits >>= 1) out = out << 1 | (bits & 1);
  return out;
}

/* The cursor counts buckets by their reversed bits: a table that grew meanwhile only parts the buckets that are
 * still to come, or were met already. */
NX_QUEUE_COMMAND(scan) {
  (void)connection;
  const nx_queues *queues = engine->queues;
  scan_options options = {.count = 10};
  int64_t start = 0;
  if (!nx_integer_read(engine->argv[1], &start)) {
    nx_reply_error(engine, "ERR invalid cursor");
    return;
  }
  if (!read_scan_options(engine, &options)) return;
  uint64_t cursor = (uint64_t)start, visited = 0, found = 0;
  nx_buffer names = engine->text;
  names.length = 0;
  do {
    uint64_t mask = queues->bucket_count - 1;
    for (const nx_queue *queue = queues->buckets[cursor & mask]; queue != NULL;
         queue = queue->next_in_bucket) {
      visited += 1;
      if (!is_wanted(queue, &options)) continue;
      found += 1;
      nx_buffer_append(&names, &queue, sizeof queue);
    }
    cursor = reversed(reversed(cursor | ~mask) + 1);
  } while (cursor != 0 && visited < (uint64_t)options.count);
  char digits[NX_INTEGER_TEXT_MAX];
  nx_reply_array(engine, 2);
  nx_reply_bulk(engine, (nx_slice){(uint8_t *)digits, nx_integer_print((int64_t)cursor, digits)});
  nx_reply_array(engine, found);
  for (uint64_t index = 0; index < found && !engine->reply_too_large; index++) {
    const nx_queue *queue;
    memcpy(&queue, names.data + index * sizeof queue, sizeof queue);
    nx_reply_bulk(engine, nx_queue_name(queue));
  }
  names.length = 0;
  engine->text = names;
}

NX_QUEUE_COMMAND(dbsize) {
  (void)connection;
  int64_t count = 0;
  for (const nx_queue *queue = nx_queues_first(engine->queues); queue != NULL; queue = queue->next)
    count += exists(queue);
  nx_reply_integer(engine, count);
}

/* Some channel, found from a bucket chosen by chance on. */
NX_QUEUE_COMMAND(randomkey) {
  const nx_queues *queues = engine->queues;
  engine->random = engine->random * 6364136223846793005u + 1442695040888963407u;
  uint64_t from = engine->random >> 20;
  for (uint64_t step = 0; step < queues->bucket_count; step++) {
    const nx_queue *queue = queues->buckets[(from + step) & (queues->bucket_count - 1)];
    for (; queue != NULL; queue = queue->next_in_bucket) {
      if (!exists(queue)) continue;
      nx_reply_bulk(engine, nx_queue_name(queue));
      return;
    }
  }
  nx_reply_null(engine, connection);
}

NX_QUEUE_COMMAND(flush) {
  (void)connection;
  bool fits = engine->argc == 1 || (engine->argc == 2 && (nx_word_is(engine->argv[1], "async") ||
                                                          nx_word_is(engine->argv[1], "sync")));
  if (!fits) {
    nx_reply_syntax_error(engine);
    return;
  }
  while (nx_queues_first(engine->queues) != NULL) nx_queue_remove(nx_queues_first(engine->queues));
  nx_reply_ok(engine);
}

/* There is one database. */
NX_QUEUE_COMMAND(select) {
  (void)connection;
  int64_t number;
  if (!nx_integer_read(engine->argv[1], &number)) nx_reply_error(engine, "ERR value is not an integer or out of range");
  else if (number != 0) nx_reply_error(engine, "ERR DB index is out of range");
  else nx_reply_ok(engine);
}

NX_QUEUE_COMMAND(memory_usage) {
  if (!nx_read_samples(engine)) return;
  const nx_queue *queue = nx_queue_find(engine->queues, engine->argv[2]);
  if (!exists(queue)) {
    nx_reply_null(engine, connection);
    return;
  }
  uint64_t bytes = sizeof *queue + queue->name_length + queue->ring.used;
  bytes += queue->ring.place_count * sizeof *queue->ring.places;
  if (queue->stream != NULL) bytes += nx_stream_bytes(queue->stream);
  nx_reply_integer(engine, (int64_t)bytes);
}
