/*
 * Fuzz target of the queues' neo requests. The input is four bytes that choose options and cuts, then the bytes that an
 * authenticated client sends. They are fed twice, to two engines over two sets of queues: whole, and in pieces, each
 * pumped until it has nothing more to say. Then other clients push, and channels go. Checked:
 *   - whatever comes back is made of whole messages, each with its parity and an id;
 *   - without a consumer, the answers are the same bytes and the connection ends in both or in none;
 *   - the state comes back from its effects, and only names that a client may give are in it;
 *   - a consumer that left is told of nothing any more, and what is held for clients is given back;
 *   - neither sanitizer nor assertion objects.
 *
 *   clang -std=c11 -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -Inative native/fuzz/queue-neo.c \
 *     <sources of native/, native/queue and native/neo>
 *
 * With -DNX_FUZZ_FILES it has a main of its own that runs the files named on the command line (any compiler).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../neo/service.h"
#include "../queue/internal.h"
#include "neo-messages.h"
#include "pieces.h"

#define NOW_MS 1700000000000.0
#define PUMPS_MAX 20000

static const uint64_t settings[NX_NEO_SETTINGS] = {
    [NX_NEO_MESSAGE_BYTES_MAX] = 4096, [NX_NEO_INPUT_BYTES_MAX] = 1 << 22, [NX_NEO_REPLY_SOFT_BYTES_MAX] = 512,
    [NX_NEO_REQUESTS_MAX] = 8,         [NX_NEO_BATCH_BYTES] = 65536,       [NX_NEO_UPDATES_MAX] = 16,
};

typedef struct {
  nx_queues *queues;
  nx_neo *engine;
  nx_neo_connection *connection;
  nx_buffer replies;
  uint32_t flags;
  bool has_streamed;
} client;

static nx_queues *queues_new(uint8_t options) {
  double queue_settings[NX_QUEUES_SETTINGS] = {[NX_QUEUES_CHANNEL_BYTES] = 1024};
  queue_settings[NX_QUEUES_DROPS_OLDEST] = (options & 2) != 0;
  queue_settings[NX_QUEUES_SIZE_BYTES_MAX] = (options & 4) != 0 ? 1500 : 0;
  return nx_queues_make(queue_settings, 1, 2);
}

static void client_open(client *c, uint8_t options) {
  memset(c, 0, sizeof *c);
  c->queues = queues_new(options);
  nx_queues_log(c->queues, true);
  c->engine = nx_neo_queue_new(c->queues, settings);
  NX_ASSERT(c->engine != NULL);
  nx_neo_queue_refuse_writes(c->engine, (options & 8) != 0);
  c->connection = nx_neo_connect(c->engine, 0);
}

static void take(client *c, uint32_t flags) {
  nx_slice replies = nx_block_replies(nx_neo_block(c->engine));
  check_messages(replies);
  nx_buffer_append(&c->replies, replies.data, replies.length);
  c->flags = flags;
  c->has_streamed = c->has_streamed || (flags & NX_NEO_STREAMING) != 0;
  nx_neo_clear_events(c->engine);
}

static void pump(client *c) {
  take(c, nx_neo_pump(c->engine, c->connection, NOW_MS));
  for (uint32_t pumps = 0; (c->flags & NX_NEO_MORE) != 0 && (c->flags & NX_NEO_CLOSE) == 0; pumps++) {
    NX_ASSERT(pumps < PUMPS_MAX);
    take(c, nx_neo_pump(c->engine, c->connection, NOW_MS));
  }
}

static void send(client *c, const uint8_t *bytes, uint64_t length) {
  if ((c->flags & NX_NEO_CLOSE) != 0) return;
  /* A copy of its own, so that reading past the chunk is seen. */
  uint8_t *chunk = malloc(length + (length == 0));
  NX_ASSERT(chunk != NULL);
  nx_copy(chunk, bytes, length);
  take(c, nx_neo_feed(c->engine, c->connection, chunk, length, NOW_MS));
  free(chunk);
  if ((c->flags & NX_NEO_CLOSE) == 0) pump(c);
}

/* Other clients push to whatever there is, and take a channel away while its consumer is still there. */
static void disturb(client *c) {
  static const uint8_t record[] = "another client's";
  for (nx_queue *queue = nx_queues_first(c->queues); queue != NULL; queue = queue->next)
    for (uint32_t count = 0; count < 20; count++) nx_queue_push(queue, (nx_slice){record, 1 + count % 16}, NX_BACK);
  if ((c->flags & NX_NEO_CLOSE) == 0) pump(c);
  if (nx_queues_first(c->queues) != NULL) nx_queue_remove(nx_queues_first(c->queues));
  if ((c->flags & NX_NEO_CLOSE) == 0) pump(c);
}

static void snapshot(nx_queues *queues, nx_buffer *out) {
  bool has_more = true;
  nx_queues_export_begin(queues);
  while (has_more) {
    nx_buffer piece = {0};
    has_more = nx_queues_export_next(queues, 64, &piece);
    nx_buffer_append(out, piece.data, piece.length);
    nx_buffer_free(&piece);
  }
  nx_queues_export_end(queues);
}

/* A channel has the name that a client may give, a storage those of subscriber and channel with a zero between. */
static void check_names(client *c) {
  for (nx_queue *queue = nx_queues_first(c->queues); queue != NULL; queue = queue->next) {
    nx_slice name = nx_queue_name(queue);
    const uint8_t *at = memchr(name.data, 0, name.length);
    uint64_t before = at == NULL ? 0 : (uint64_t)(at - name.data);
    nx_slice channel = at == NULL ? name : (nx_slice){at + 1, name.length - before - 1};
    NX_ASSERT(nx_channel_name_valid(channel));
    NX_ASSERT(before == 0 || nx_channel_name_valid((nx_slice){name.data, before}));
  }
}

static void check_replay(client *c, uint8_t options) {
  nx_queues *again = queues_new(options);
  nx_buffer *effects = nx_queues_effects(c->queues);
  uint64_t bad_offset = 0;
  NX_ASSERT(nx_queues_replay(again, effects->data, effects->length, &bad_offset) >= 0);
  nx_buffer left = {0}, right = {0};
  snapshot(c->queues, &left);
  snapshot(again, &right);
  NX_ASSERT(left.length == right.length && (left.length == 0 || memcmp(left.data, right.data, left.length) == 0));
  nx_buffer_free(&left);
  nx_buffer_free(&right);
  nx_queues_drop(again);
}

static void client_close(client *c) {
  nx_neo_disconnect(c->engine, c->connection);
  /* A consumer that left must not be told of anything any more. */
  for (nx_queue *queue = nx_queues_first(c->queues); queue != NULL; queue = queue->next)
    nx_queue_push(queue, (nx_slice){(const uint8_t *)"left", 4}, NX_BACK);
  while (nx_queues_first(c->queues) != NULL) nx_queue_remove(nx_queues_first(c->queues));
  nx_neo_read_statistics(c->engine);
  const double *block = nx_neo_block(c->engine);
  NX_ASSERT(block[NX_NEO_INPUT_BYTES] == 0 && block[NX_NEO_ACTIVE] == 0 && block[NX_NEO_CONNECTIONS] == 0);
  nx_neo_free(c->engine);
  nx_queues_drop(c->queues);
  nx_buffer_free(&c->replies);
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
    piece = next_piece(&cuts, (data[0] & 1) != 0, length - at);
    send(&pieces, bytes + at, piece);
  }
  /* When a consumer gets its batches depends on the cuts. */
  if (!whole.has_streamed && !pieces.has_streamed) {
    NX_ASSERT((whole.flags & NX_NEO_CLOSE) == (pieces.flags & NX_NEO_CLOSE));
    NX_ASSERT(whole.replies.length == pieces.replies.length);
    NX_ASSERT(whole.replies.length == 0 ||
              memcmp(whole.replies.data, pieces.replies.data, whole.replies.length) == 0);
  }
  check_names(&whole);
  disturb(&whole);
  disturb(&pieces);
  check_replay(&whole, data[0]);
  client_close(&whole);
  client_close(&pieces);
  return 0;
}

#ifdef NX_FUZZ_FILES
#include "files.h"
#endif
