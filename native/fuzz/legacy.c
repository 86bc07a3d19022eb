/*
 * Fuzz target of the legacy swarm protocol's engine. The input is four bytes that choose options and cuts,
 * then the bytes that a client sends. They are fed twice, to two engines over two stores: whole, and in
 * pieces. Checked:
 *   - the answers are the same bytes;
 *   - the connection ends in both or in none;
 *   - the two stores hold the same, and the counts of swarm records agree with what is in them;
 *   - what is held for clients is given back when they leave;
 *   - neither sanitizer nor assertion objects.
 *
 *   clang -std=c11 -g -O1 -fsanitize=fuzzer,address,undefined -Inative native/fuzz/legacy.c \
 *     <sources of native/ and native/legacy/>
 *
 * With -DNX_FUZZ_FILES it has a main of its own that runs the files named on the command line (any compiler).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../legacy/engine.h"
#include "pieces.h"

#define NOW_MS 1700000000000.0

static const uint64_t settings[NX_LEGACY_SETTINGS] = {
    [NX_LEGACY_BATCH_BYTES] = 1024,
    [NX_LEGACY_ARRAY_BYTES_MAX] = 4096,
    [NX_LEGACY_INPUT_BYTES_MAX] = 1 << 22,
    [NX_LEGACY_REPLY_SOFT_BYTES_MAX] = 512,
    [NX_LEGACY_LISTEN_UPDATES_MAX] = 16,
    [NX_LEGACY_OWNERSHIP_CHECKED] = 1,
    [NX_LEGACY_REDISTRIBUTE_PERCENT] = 110,
};

typedef struct {
  nx_store *store;
  nx_legacy *engine;
  nx_legacy_connection *connection;
  nx_buffer answers;
  uint32_t flags;
} client;

static void client_open(client *c, bool is_upper) {
  memset(c, 0, sizeof *c);
  c->store = nx_store_new_seeded(0, 1, 2);
  c->engine = nx_legacy_new(c->store, settings);
  NX_ASSERT(c->engine != NULL);
  if (is_upper) nx_legacy_set_range(c->engine, UINT64_C(1) << 63, UINT64_MAX);
  nx_legacy_set_address(c->engine, (const uint8_t *)"127.0.0.1", 9, 10000);
  c->connection = nx_legacy_connect(c->engine);
}

/* A listener that leaves while its channel stays must not be told of anything any more. */
static void leave_while_listening(client *c) {
  static const uint8_t request[] = {25, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 'l', 'e', 'f', 't'};
  nx_legacy_connection *listener = nx_legacy_connect(c->engine);
  NX_ASSERT(nx_legacy_feed(c->engine, listener, request, sizeof request, NOW_MS) == NX_LEGACY_LISTENING);
  nx_legacy_disconnect(c->engine, listener);
  nx_channel *channel = nx_store_channel(c->store, (nx_slice){request + 12, 4}, false);
  nx_slice key = {(const uint8_t *)"00000000000000ff", 16};
  NX_ASSERT(nx_channel_put(channel, key, (nx_slice){request, 1}, 0) == 0);
}

static void client_close(client *c) {
  leave_while_listening(c);
  nx_legacy_disconnect(c->engine, c->connection);
  nx_legacy_read_statistics(c->engine);
  const double *block = nx_legacy_block(c->engine);
  NX_ASSERT(block[NX_LEGACY_INPUT_BYTES] == 0 && block[NX_LEGACY_LISTENERS] == 0);
  nx_legacy_free(c->engine);
  nx_store_free(c->store);
  nx_buffer_free(&c->answers);
}

static void take(client *c, uint32_t flags) {
  nx_slice answers = nx_block_replies(nx_legacy_block(c->engine));
  nx_buffer_append(&c->answers, answers.data, answers.length);
  c->flags = flags;
  nx_legacy_clear_events(c->engine);
}

static void finish(client *c) {
  while ((c->flags & NX_LEGACY_MORE) != 0 && (c->flags & NX_LEGACY_CLOSE) == 0)
    take(c, nx_legacy_resume(c->engine, c->connection, NOW_MS));
}

static void send(client *c, const uint8_t *bytes, uint64_t length) {
  if ((c->flags & NX_LEGACY_CLOSE) != 0) return;
  /* A copy of its own, so that reading past the chunk is seen. */
  uint8_t *chunk = malloc(length + (length == 0));
  NX_ASSERT(chunk != NULL);
  nx_copy(chunk, bytes, length);
  take(c, nx_legacy_feed(c->engine, c->connection, chunk, length, NOW_MS));
  free(chunk);
  finish(c);
}

/* Every update, then the end of the stream and whatever was sent behind Listen. */
static void end_listening(client *c) {
  for (int streams = 0; streams < 8 && (c->flags & NX_LEGACY_LISTENING) != 0; streams++) {
    while (nx_legacy_waiting(c->connection) > 0 && nx_legacy_waiting(c->connection) != UINT32_MAX)
      take(c, nx_legacy_pump(c->engine, c->connection, NOW_MS));
    while (nx_store_channel_count(c->store) > 0)
      nx_store_channel_remove(c->store, nx_store_channel_at(c->store, 0));
    take(c, nx_legacy_pump(c->engine, c->connection, NOW_MS));
    finish(c);
  }
}

typedef struct {
  uint64_t records, bytes, mixed;
} contents;

static void count(void *context, nx_slice key, const nx_record *record) {
  contents *to = context;
  uint64_t number;
  NX_ASSERT(nx_hex_number(key, &number) && record->value.length > 0);
  to->records += 1;
  to->bytes += record->value.length;
  uint64_t mixed = number;
  for (uint64_t i = 0; i < record->value.length; i++) mixed = mixed * 31 + record->value.data[i];
  to->mixed += mixed;
}

static contents read_contents(client *c) {
  contents total = {0, 0, 0};
  for (uint32_t i = 0; i < nx_store_channel_count(c->store); i++) {
    nx_channel *channel = nx_store_channel_at(c->store, i);
    contents before = total;
    uint64_t cursor = 0;
    do cursor = nx_channel_scan(channel, cursor, (int64_t)NOW_MS, count, &total);
    while (cursor != 0);
    NX_ASSERT(nx_channel_swarm_records(channel) == total.records - before.records);
    NX_ASSERT(nx_channel_swarm_value_bytes(channel) == total.bytes - before.bytes);
  }
  NX_ASSERT(nx_store_swarm_records(c->store) == total.records);
  return total;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 4) return 0;
  uint32_t cuts = cuts_of(data + 1);
  const uint8_t *bytes = data + 4;
  uint64_t length = size - 4;
  client whole, pieces;
  client_open(&whole, (data[0] & 1) != 0);
  client_open(&pieces, (data[0] & 1) != 0);
  send(&whole, bytes, length);
  for (uint64_t at = 0, piece; at < length; at += piece) {
    piece = next_piece(&cuts, (data[0] & 2) != 0, length - at);
    send(&pieces, bytes + at, piece);
  }
  contents left = read_contents(&whole), right = read_contents(&pieces);
  end_listening(&whole);
  end_listening(&pieces);
  /* What is fed behind Listen is bounded: a client in pieces may meet the bound at another byte. */
  bool is_bounded = length > 4096;
  if (!is_bounded) {
    NX_ASSERT(memcmp(&left, &right, sizeof left) == 0);
    NX_ASSERT((whole.flags & NX_LEGACY_CLOSE) == (pieces.flags & NX_LEGACY_CLOSE));
    NX_ASSERT(whole.answers.length == pieces.answers.length);
    NX_ASSERT(whole.answers.length == 0 ||
              memcmp(whole.answers.data, pieces.answers.data, whole.answers.length) == 0);
  }
  client_close(&whole);
  client_close(&pieces);
  return 0;
}

#ifdef NX_FUZZ_FILES
#include "files.h"
#endif
