/* Commands about keys rather than values: existence, names, iteration, whole channels. */
#include "commands.h"
#include "glob.h"
#include "reply.h"

NX_COMMAND(del) {
  int64_t removed = 0;
  nx_channel *channel = nx_channel_of(engine, connection);
  for (uint32_t index = 1; index < engine->argc && channel != NULL; index++) {
    if (nx_channel_remove(channel, engine->argv[index], engine->now_ms)) removed++;
  }
  nx_reply_integer(engine, removed);
}

NX_COMMAND(exists) {
  int64_t found = 0;
  for (uint32_t index = 1; index < engine->argc; index++) {
    nx_record record;
    if (nx_find_counted(engine, connection, engine->argv[index], &record)) found++;
  }
  nx_reply_integer(engine, found);
}

/* No access times are kept: TOUCH counts keys, as EXISTS does. */
NX_COMMAND(touch) { nx_command_exists(engine, connection); }

NX_COMMAND(type) {
  nx_record record;
  if (nx_find_counted(engine, connection, engine->argv[1], &record)) nx_reply_literal(engine, "+string\r\n");
  else nx_reply_literal(engine, "+none\r\n");
}

/* The copy is stored before the original goes, so a refusal (memory) changes nothing. Both effects are logged
 * in one run, and the log keeps a run whole. */
static void rename_to(nx_resp *engine, nx_resp_connection *connection, bool only_new) {
  nx_slice from = engine->argv[1];
  nx_slice to = engine->argv[2];
  nx_record record;
  nx_record taken;
  if (!nx_find(engine, connection, from, &record)) {
    nx_reply_error(engine, "ERR no such key");
    return;
  }
  bool same = from.length == to.length && memcmp(from.data, to.data, from.length) == 0;
  if (only_new && (same || nx_find(engine, connection, to, &taken))) {
    nx_reply_integer(engine, 0);
    return;
  }
  if (!same) {
    /* The look-up of the new name may have moved the old record. */
    bool still_there = nx_find(engine, connection, from, &record);
    NX_ASSERT(still_there);
    if (!nx_put(engine, connection, to, record.value, record.expires_at_ms)) return;
    nx_channel_remove(connection->channel, from, engine->now_ms);
  }
  if (only_new) nx_reply_integer(engine, 1);
  else nx_reply_ok(engine);
}

NX_COMMAND(rename) { rename_to(engine, connection, false); }
NX_COMMAND(renamenx) { rename_to(engine, connection, true); }

static void reply_key(void *context, nx_slice key, const nx_record *record) {
  (void)record;
  nx_reply_bulk(context, key);
}

NX_COMMAND(randomkey) {
  /* splitmix64 */
  uint64_t mixed = engine->random += 0x9e3779b97f4a7c15u;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
  mixed ^= mixed >> 31;
  nx_channel *channel = nx_channel_of(engine, connection);
  bool found = channel != NULL && nx_channel_random(channel, mixed, engine->now_ms, reply_key, engine);
  if (!found) nx_reply_null(engine, connection);
}

typedef struct {
  nx_resp *engine;
  nx_slice pattern; /* data NULL: every key */
  uint64_t visited;
  uint64_t matched;
  bool nothing_matches;
} key_search;

static void visit_key(void *context, nx_slice key, const nx_record *record) {
  (void)record;
  key_search *search = context;
  search->visited++;
  if (search->nothing_matches || search->engine->reply_too_large) return;
  if (search->pattern.data != NULL && !nx_glob_matches(search->pattern, key)) return;
  search->matched++;
  nx_reply_bulk(search->engine, key);
}

NX_COMMAND(keys) {
  key_search search = {.engine = engine, .pattern = engine->argv[1]};
  uint64_t opened_at = nx_reply_array_open(engine);
  nx_channel *channel = nx_channel_of(engine, connection);
  if (channel != NULL) {
    uint64_t cursor = 0;
    do {
      cursor = nx_channel_scan(channel, cursor, engine->now_ms, visit_key, &search);
    } while (cursor != 0 && !engine->reply_too_large);
  }
  nx_reply_array_close(engine, opened_at, search.matched);
}

/* As strtoul reads it, because clients may count on that: nothing is 0, and -1 the last cursor there is. */
static bool read_cursor(nx_slice text, uint64_t *cursor) {
  *cursor = 0;
  uint64_t index = 0;
  bool negative = text.length > 0 && text.data[0] == '-';
  if (negative || (text.length > 0 && text.data[0] == '+')) {
    index = 1;
    if (text.length == 1) return false;
  }
  for (; index < text.length; index++) {
    if (text.data[index] < '0' || text.data[index] > '9') return false;
    if (__builtin_mul_overflow(*cursor, 10u, cursor)) return false;
    if (__builtin_add_overflow(*cursor, (uint64_t)(text.data[index] - '0'), cursor)) return false;
  }
  if (negative) *cursor = 0 - *cursor;
  return true;
}

static bool read_scan_options(nx_resp *engine, key_search *search, int64_t *count) {
  for (uint32_t index = 2; index < engine->argc; index += 2) {
    nx_slice word = engine->argv[index];
    bool has_value = index + 1 < engine->argc;
    nx_slice value = has_value ? engine->argv[index + 1] : (nx_slice){NULL, 0};
    if (has_value && nx_word_is(word, "match")) {
      search->pattern = value;
    } else if (has_value && nx_word_is(word, "type")) {
      search->nothing_matches = !nx_word_is(value, "string");
    } else if (has_value && nx_word_is(word, "count")) {
      if (!nx_integer_read(value, count)) {
        nx_reply_integer_error(engine);
        return false;
      }
      if (*count < 1) {
        nx_reply_syntax_error(engine);
        return false;
      }
    } else {
      nx_reply_syntax_error(engine);
      return false;
    }
  }
  return true;
}

NX_COMMAND(scan) {
  uint64_t cursor = 0;
  int64_t count = 10;
  key_search search = {.engine = engine};
  if (!read_cursor(engine->argv[1], &cursor)) {
    nx_reply_error(engine, "ERR invalid cursor");
    return;
  }
  if (!read_scan_options(engine, &search, &count)) return;
  /* The cursor is written once it is known, in front of the keys: keep room for the widest. */
  nx_reply_array(engine, 2);
  uint64_t cursor_at = engine->replies.length;
  uint64_t opened_at = nx_reply_array_open(engine);
  nx_channel *channel = nx_channel_of(engine, connection);
  if (channel == NULL) cursor = 0;
  else {
    uint64_t steps_left = (uint64_t)count > UINT64_MAX / 10 ? UINT64_MAX : (uint64_t)count * 10;
    do {
      cursor = nx_channel_scan(channel, cursor, engine->now_ms, visit_key, &search);
      steps_left--;
    } while (cursor != 0 && steps_left > 0 && search.visited < (uint64_t)count && !engine->reply_too_large);
  }
  nx_reply_array_close(engine, opened_at, search.matched);
  char digits[NX_INTEGER_TEXT_MAX + 1];
  uint32_t first = sizeof digits;
  do {
    digits[--first] = (char)('0' + cursor % 10);
    cursor /= 10;
  } while (cursor != 0);
  uint64_t keys_length = engine->replies.length - cursor_at;
  nx_reply_bulk(engine, (nx_slice){(const uint8_t *)digits + first, sizeof digits - first});
  if (engine->reply_too_large) return;
  /* Rotate: [keys][cursor] becomes [cursor][keys]. */
  uint8_t cursor_reply[NX_INTEGER_TEXT_MAX + 8];
  uint64_t cursor_length = engine->replies.length - cursor_at - keys_length;
  NX_ASSERT(cursor_length <= sizeof cursor_reply);
  uint8_t *start = engine->replies.data + cursor_at;
  memcpy(cursor_reply, start + keys_length, cursor_length);
  memmove(start + cursor_length, start, keys_length);
  memcpy(start, cursor_reply, cursor_length);
}

NX_COMMAND(dbsize) {
  nx_channel *channel = nx_channel_of(engine, connection);
  nx_reply_integer(engine, channel == NULL ? 0 : (int64_t)nx_channel_records(channel));
}

/* Both words mean the same here: the channel is gone at once, its memory is given back in steps. */
static bool flush_words_fit(nx_resp *engine) {
  bool fit =
      engine->argc == 1 ||
      (engine->argc == 2 && (nx_word_is(engine->argv[1], "async") || nx_word_is(engine->argv[1], "sync")));
  if (!fit) nx_reply_syntax_error(engine);
  return fit;
}

NX_COMMAND(flushdb) {
  if (!flush_words_fit(engine)) return;
  nx_channel *channel = nx_channel_of(engine, connection);
  if (channel != NULL) nx_store_channel_remove(engine->store, channel);
  nx_reply_ok(engine);
}

NX_COMMAND(flushall) {
  (void)connection;
  if (!flush_words_fit(engine)) return;
  while (nx_store_channel_count(engine->store) > 0) {
    nx_store_channel_remove(engine->store, nx_store_channel_at(engine->store, 0));
  }
  nx_reply_ok(engine);
}

bool nx_read_samples(nx_resp *engine) {
  for (uint32_t index = 3; index < engine->argc; index += 2) {
    int64_t samples = 0;
    if (!nx_word_is(engine->argv[index], "samples") || index + 1 >= engine->argc) {
      nx_reply_syntax_error(engine);
      return false;
    }
    if (!nx_integer_read(engine->argv[index + 1], &samples)) {
      nx_reply_integer_error(engine);
      return false;
    }
    if (samples < 0) {
      nx_reply_syntax_error(engine);
      return false;
    }
  }
  return true;
}

NX_COMMAND(memory_usage) {
  if (!nx_read_samples(engine)) return;
  nx_channel *channel = nx_channel_of(engine, connection);
  uint64_t bytes = channel == NULL ? 0 : nx_channel_record_bytes(channel, engine->argv[2], engine->now_ms);
  if (bytes == 0) nx_reply_null(engine, connection);
  else nx_reply_integer(engine, (int64_t)bytes);
}
