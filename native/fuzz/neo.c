/*
 * Fuzz target of the neo protocol's engine. The input is four bytes that choose options and cuts, then the bytes that
 * an authenticated client sends. They are fed twice, to two engines over two stores: whole, and in pieces, each
 * pumped until it has nothing more to say. Checked:
 *   - whatever comes back is made of whole messages, each with its parity and an id;
 *   - the connection ends in both or in none, and the two stores hold the same;
 *   - what is held for clients is given back when they leave;
 *   - neither sanitizer nor assertion objects.
 * (When streams speak depends on the cuts, so the answers themselves may differ in their order.)
 *
 *   clang -std=c11 -g -O1 -fsanitize=fuzzer,address,undefined -Inative native/fuzz/neo.c \
 *     <sources of native/ and native/neo/>
 *
 * With -DNX_FUZZ_FILES it has a main of its own that runs the files named on the command line (any compiler).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../neo/service.h"
#include "neo-messages.h"
#include "pieces.h"

#define NOW_MS 1700000000000.0
#define PUMPS_MAX 20000

static const uint64_t settings[NX_NEO_SETTINGS] = {
    [NX_NEO_MESSAGE_BYTES_MAX] = 4096, [NX_NEO_INPUT_BYTES_MAX] = 1 << 22, [NX_NEO_REPLY_SOFT_BYTES_MAX] = 512,
    [NX_NEO_REQUESTS_MAX] = 8,         [NX_NEO_BATCH_BYTES] = 65536,       [NX_NEO_UPDATES_MAX] = 16,
    [NX_NEO_OWNERSHIP_CHECKED] = 1,
};

typedef struct {
  nx_store *store;
  nx_neo *engine;
  nx_neo_connection *connection;
  double now_ms;
  uint32_t flags;
} client;

static void client_open(client *c, uint8_t options) {
  memset(c, 0, sizeof *c);
  c->now_ms = NOW_MS;
  c->store = nx_store_new_seeded(0, 1, 2);
  c->engine = nx_neo_new(c->store, settings);
  NX_ASSERT(c->engine != NULL);
  if ((options & 1) != 0) nx_neo_set_range(c->engine, UINT64_C(1) << 63, UINT64_MAX);
  c->connection = nx_neo_connect(c->engine, (options & 4) != 0);
}

static void take(client *c, uint32_t flags) {
  check_messages(nx_block_replies(nx_neo_block(c->engine)));
  c->flags = flags;
  nx_neo_clear_events(c->engine);
}

static void finish(client *c) {
  for (uint32_t pumps = 0; (c->flags & NX_NEO_MORE) != 0 && (c->flags & NX_NEO_CLOSE) == 0; pumps++) {
    NX_ASSERT(pumps < PUMPS_MAX);
    take(c, nx_neo_pump(c->engine, c->connection, c->now_ms));
  }
}

static void send(client *c, const uint8_t *bytes, uint64_t length) {
  if ((c->flags & NX_NEO_CLOSE) != 0) return;
  /* A copy of its own, so that reading past the chunk is seen. */
  uint8_t *chunk = malloc(length + (length == 0));
  NX_ASSERT(chunk != NULL);
  nx_copy(chunk, bytes, length);
  take(c, nx_neo_feed(c->engine, c->connection, chunk, length, c->now_ms));
  free(chunk);
  finish(c);
}

/* Other clients change what may be mirrored, time passes, channels go. */
static void disturb(client *c) {
  nx_slice key = {(const uint8_t *)"00000000000000ff", 16}, value = {(const uint8_t *)"value", 5};
  for (uint32_t i = 0; i < nx_store_channel_count(c->store); i++) {
    nx_channel *channel = nx_store_channel_at(c->store, i);
    for (uint32_t change = 0; change < 40; change++) NX_ASSERT(nx_channel_put(channel, key, value, 0) == 0);
    nx_channel_remove(channel, key, (int64_t)NOW_MS);
  }
  c->now_ms += 3600 * 1000.0;
  nx_neo_set_range(c->engine, 0, 1);
  nx_neo_tell_node(c->engine, 0x7f000001, 10100, 2, 3);
  take(c, nx_neo_pump(c->engine, c->connection, c->now_ms));
  finish(c);
  while (nx_store_channel_count(c->store) > 0)
    nx_store_channel_remove(c->store, nx_store_channel_at(c->store, 0));
  while (nx_store_tick(c->store, (int64_t)NOW_MS, 1000) == 1000);
  take(c, nx_neo_pump(c->engine, c->connection, c->now_ms));
  finish(c);
}

static void client_close(client *c) {
  nx_neo_disconnect(c->engine, c->connection);
  /* A Mirror that left must not be told of anything any more. */
  nx_channel *channel = nx_store_channel(c->store, (nx_slice){(const uint8_t *)"left", 4}, true);
  nx_slice key = {(const uint8_t *)"00000000000000ff", 16};
  NX_ASSERT(nx_channel_put(channel, key, key, 0) == 0);
  nx_neo_read_statistics(c->engine);
  const double *block = nx_neo_block(c->engine);
  NX_ASSERT(block[NX_NEO_INPUT_BYTES] == 0 && block[NX_NEO_ACTIVE] == 0 && block[NX_NEO_CONNECTIONS] == 0);
  nx_neo_free(c->engine);
  nx_store_free(c->store);
}

typedef struct {
  uint64_t records, mixed;
} contents;

static void count(void *context, nx_slice key, const nx_record *record) {
  contents *to = context;
  uint64_t number;
  NX_ASSERT(nx_hex_number(key, &number) && record->value.length > 0);
  to->records += 1;
  for (uint64_t i = 0; i < record->value.length; i++) number = number * 31 + record->value.data[i];
  to->mixed += number;
}

static contents read_contents(client *c) {
  contents total = {0, 0};
  for (uint32_t i = 0; i < nx_store_channel_count(c->store); i++) {
    uint64_t cursor = 0;
    do cursor = nx_channel_scan(nx_store_channel_at(c->store, i), cursor, (int64_t)NOW_MS, count, &total);
    while (cursor != 0);
  }
  return total;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 4) return 0;
  uint32_t cuts = cuts_of(data + 1);
  const uint8_t *bytes = data + 4;
  uint64_t length = size - 4;
  client whole, pieces;
  client_open(&whole, data[0]);
  client_open(&pieces, data[0]);
  send(&whole, bytes, length);
  for (uint64_t at = 0, piece; at < length; at += piece) {
    piece = next_piece(&cuts, (data[0] & 2) != 0, length - at);
    send(&pieces, bytes + at, piece);
  }
  contents left = read_contents(&whole), right = read_contents(&pieces);
  /* A stream ends at another moment when the input comes in pieces, and what its id means then differs. */
  if ((whole.flags & NX_NEO_CLOSE) == (pieces.flags & NX_NEO_CLOSE) && (whole.flags & NX_NEO_STREAMING) == 0)
    NX_ASSERT(memcmp(&left, &right, sizeof left) == 0);
  if ((whole.flags & NX_NEO_CLOSE) == 0) disturb(&whole);
  if ((pieces.flags & NX_NEO_CLOSE) == 0) disturb(&pieces);
  client_close(&whole);
  client_close(&pieces);
  return 0;
}

#ifdef NX_FUZZ_FILES
#include "files.h"
#endif
