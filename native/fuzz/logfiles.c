/*
 * Fuzz target of the logfiles modules. The first byte of the input chooses:
 *   0  the legacy engine: a client's bytes, fed whole to one engine and in pieces to another. Answers and end of the
 *      connection are the same; the effects, replayed, give the same channels; what is held is given back
 *   1  a page, loaded and handed out in every form
 *   2  a bucket file, read whole and in pieces: the same records, the same end
 *   3  effects of the log, replayed twice: the second time changes nothing
 *   4  an expression and a text: if it matches, the text holds the literal that was found in the expression
 *
 *   clang -std=c11 -g -O1 -fsanitize=fuzzer,address,undefined -Inative native/fuzz/logfiles.c \
 *     <sources of native/ and native/logfiles/> -l:libpcre2-8.a
 *
 * With -DNX_FUZZ_FILES it has a main of its own that runs the files named on the command line (any compiler).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../logfiles/bucket.h"
#include "../logfiles/engine.h"
#include "../logfiles/scan.h"

#define ARRAY_BYTES_MAX 4096u

/* --- the engine ----------------------------------------------------------------------------------------- */

typedef struct {
  nx_logs *logs;
  nx_logfiles *engine;
  nx_logfiles_connection *connection;
  nx_buffer answers, effects;
  bool is_closed;
} client;

static void client_open(client *c) {
  memset(c, 0, sizeof *c);
  c->logs = nx_logs_new((nx_seed){1, 2});
  c->engine = nx_logfiles_new(c->logs, ARRAY_BYTES_MAX, 4);
  nx_logfiles_set_address(c->engine, (const uint8_t *)"127.0.0.1", 9, 10010);
  c->connection = nx_logfiles_connect(c->engine);
}

/* Takes what a call left, and does its tasks: an answer of status 200 stands for the records. */
static void settle(client *c, uint32_t flags) {
  for (;;) {
    const double *block = nx_logfiles_block(c->engine);
    nx_slice answers = nx_block_replies(block);
    nx_buffer_append(&c->answers, answers.data, answers.length);
    nx_buffer_append(&c->effects, c->logs->effects.data, c->logs->effects.length);
    nx_logs_effects_taken(c->logs);
    nx_logfiles_clear_events(c->engine);
    if ((flags & NX_LOGFILES_CLOSE) != 0) c->is_closed = true;
    if ((flags & NX_LOGFILES_TASK) != 0) {
      NX_ASSERT(block[NX_LOGFILES_TASK_LENGTH] >= NX_LOGFILES_TASK_BYTES);
      nx_buffer_append(&c->answers, (const void *)(uintptr_t)block[NX_LOGFILES_TASK_ADDRESS],
                       (uint64_t)block[NX_LOGFILES_TASK_LENGTH]);
    }
    if ((flags & (NX_LOGFILES_TASK | NX_LOGFILES_MORE)) == 0) return;
    flags = nx_logfiles_resume(c->engine, c->connection);
  }
}

static void feed(client *c, const uint8_t *bytes, uint64_t length) {
  if (!c->is_closed) settle(c, nx_logfiles_feed(c->engine, c->connection, bytes, length));
}

static void export_all(nx_logs *logs, nx_buffer *to) {
  for (uint32_t i = 0; i < logs->count; i++) {
    uint64_t at = 0, count = logs->channels[i]->memtable->records;
    while (at < count) nx_logs_export(logs->channels[i], logs->channels[i]->memtable, &at, count, to->length + 1, to);
  }
}

static bool is_same(const nx_buffer *a, const nx_buffer *b) {
  return a->length == b->length && (a->length == 0 || memcmp(a->data, b->data, a->length) == 0);
}

static void check_replay(client *c) {
  nx_logs *again = nx_logs_new((nx_seed){3, 4});
  static const uint8_t nothing[1];
  const uint8_t *effects = c->effects.length == 0 ? nothing : c->effects.data;
  NX_ASSERT(nx_logs_replay(again, effects, c->effects.length) >= 0);
  nx_buffer first = {0}, second = {0};
  export_all(c->logs, &first);
  export_all(again, &second);
  NX_ASSERT(is_same(&first, &second) && again->records == c->logs->records);
  nx_buffer_free(&first);
  nx_buffer_free(&second);
  nx_logs_free(again);
}

static void client_close(client *c) {
  nx_logfiles_disconnect(c->engine, c->connection);
  nx_logfiles_read_statistics(c->engine);
  NX_ASSERT(nx_logfiles_block(c->engine)[NX_LOGFILES_INPUT_BYTES] == 0);
  nx_logfiles_free(c->engine);
  nx_logs_free(c->logs);
  nx_buffer_free(&c->answers);
  nx_buffer_free(&c->effects);
}

static void fuzz_engine(const uint8_t *data, uint64_t size) {
  if (size < 1) return;
  uint64_t step = 1 + data[0] % 61;
  client whole, pieces;
  client_open(&whole);
  client_open(&pieces);
  feed(&whole, data + 1, size - 1);
  for (uint64_t at = 1; at < size; at += step) feed(&pieces, data + at, size - at < step ? size - at : step);
  NX_ASSERT(is_same(&whole.answers, &pieces.answers) && whole.is_closed == pieces.is_closed);
  check_replay(&whole);
  check_replay(&pieces);
  client_close(&whole);
  client_close(&pieces);
}

/* --- pages, buckets, effects ---------------------------------------------------------------------------- */

static void fuzz_page(const uint8_t *data, uint64_t size) {
  nx_page page = {0};
  if (nx_page_load(&page, data, size) == 0) {
    for (uint64_t i = 1; i < page.count; i++)
      NX_ASSERT(page.keys[i] >> NX_BUCKET_SHIFT >= page.keys[i - 1] >> NX_BUCKET_SHIFT);
    nx_buffer error = {0};
    nx_matcher *matcher = nx_matcher_new(NX_MATCH_SUBSTRING, (const uint8_t *)"a", 1, &error);
    for (uint32_t kind = NX_OUTPUT_LEGACY; kind <= NX_OUTPUT_KEYS; kind++) {
      nx_output *output = nx_output_new(kind, 1024);
      page.at = 0;
      while (nx_scan_step(&page, 0, UINT64_MAX, UINT64_MAX, matcher, output) == NX_SCAN_FULL) {
        nx_output_finish(output, false);
        output->out.length = 0;
      }
      nx_output_finish(output, true);
      nx_output_free(output);
    }
    nx_matcher_free(matcher);
    nx_buffer_free(&error);
  }
  nx_page_free(&page);
}

static void read_bucket(nx_bucket_reader *reader, const uint8_t *data, uint64_t size, uint64_t step,
                        nx_page_builder *builder) {
  uint64_t at = 0, known = 0;
  while (known < size || at < size) {
    known = size - known < step ? size : known + step;
    uint64_t taken = nx_bucket_read(reader, data + at, known - at, known == size, UINT64_MAX, builder);
    NX_ASSERT(taken <= known - at);
    at += taken;
    if (known == size) break;
  }
}

static void fuzz_bucket(const uint8_t *data, uint64_t size) {
  if (size < 1) return;
  nx_bucket_reader whole = {.high = UINT64_MAX, .is_strict = data[0] >> 7}, pieces = whole;
  nx_page_builder builders[2] = {{{0}, {0}, {0}, 0, 0, 0, 0}, {{0}, {0}, {0}, 0, 0, 0, 0}};
  nx_buffer pages[2] = {{0}, {0}};
  read_bucket(&whole, data + 1, size - 1, size, &builders[0]);
  read_bucket(&pieces, data + 1, size - 1, 1 + data[0] % 50, &builders[1]);
  NX_ASSERT(whole.records == pieces.records && whole.state == pieces.state && whole.offset == pieces.offset);
  for (uint32_t i = 0; i < 2; i++) nx_page_builder_finish(&builders[i], &pages[i]);
  NX_ASSERT(is_same(&pages[0], &pages[1]));
  for (uint32_t i = 0; i < 2; i++) {
    nx_page_builder_free(&builders[i]);
    nx_buffer_free(&pages[i]);
  }
}

static void fuzz_replay(const uint8_t *data, uint64_t size) {
  nx_logs *logs = nx_logs_new((nx_seed){1, 2});
  if (nx_logs_replay(logs, data, size) >= 0) {
    nx_buffer first = {0}, second = {0};
    export_all(logs, &first);
    /* What is exported is whole, and nothing of it is taken twice. */
    static const uint8_t nothing[1];
    NX_ASSERT(nx_logs_replay(logs, first.length == 0 ? nothing : first.data, first.length) >= 0);
    export_all(logs, &second);
    NX_ASSERT(is_same(&first, &second));
    nx_buffer_free(&first);
    nx_buffer_free(&second);
  }
  nx_logs_free(logs);
}

/* --- expressions ---------------------------------------------------------------------------------------- */

static void fuzz_literal(const uint8_t *data, uint64_t size) {
  const uint8_t *end = memchr(data, '\n', size);
  if (end == NULL) return;
  uint64_t length = (uint64_t)(end - data), left = size - length - 1;
  if (left == 0) return;
  uint8_t literal[256];
  uint64_t found = nx_required_literal(data, length, literal);
  nx_buffer error = {0}, bytes = {0};
  nx_matcher *matcher = nx_matcher_new(NX_MATCH_REGEX, data, length, &error);
  /* An expression with another one in front that is always true, of which no literal is known. */
  nx_buffer plain = {0};
  nx_buffer_append(&plain, "(?:)", 4);
  nx_buffer_append(&plain, data, length);
  nx_matcher *slow = matcher == NULL ? NULL : nx_matcher_new(NX_MATCH_REGEX, plain.data, plain.length, &error);
  if (slow != NULL) {
    nx_page_builder builder = {0};
    nx_page page = {0};
    nx_page_builder_add(&builder, 1, end + 1, left);
    nx_page_builder_finish(&builder, &bytes);
    NX_ASSERT(nx_page_load(&page, bytes.data, bytes.length) == 0);
    if (nx_matcher_next(slow, &page, 0) == 0) {
      NX_ASSERT(found == 0 || memmem(end + 1, left, literal, found) != NULL);
      NX_ASSERT(nx_matcher_next(matcher, &page, 0) == 0);
    }
    nx_page_free(&page);
    nx_page_builder_free(&builder);
    nx_matcher_free(slow);
  }
  if (matcher != NULL) nx_matcher_free(matcher);
  nx_buffer_free(&plain);
  nx_buffer_free(&bytes);
  nx_buffer_free(&error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static void (*const targets[])(const uint8_t *, uint64_t) = {fuzz_engine, fuzz_page, fuzz_bucket, fuzz_replay,
                                                               fuzz_literal};
  if (size > 0) targets[data[0] % 5](data + 1, size - 1);
  return 0;
}

#ifdef NX_FUZZ_FILES
#include "files.h"
#endif
