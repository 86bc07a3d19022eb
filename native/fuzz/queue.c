/*
 * Fuzz target of the queues: their Redis commands, their swarm protocol, and their effects. The first byte chooses
 * which of them the rest is fed to, the next three how it is cut. A client's bytes are fed twice, to two engines over
 * two sets of queues: whole, and in pieces. Checked:
 *   - the replies are the same bytes, and the connection ends in both or in none;
 *   - replaying the effects of one set yields the other: their snapshots are the same bytes;
 *   - arbitrary effects are refused or applied, and what was applied can be exported and applied again;
 *   - what is held for clients is given back when they leave;
 *   - neither sanitizer nor assertion objects.
 *
 *   clang -std=c11 -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -Inative native/fuzz/queue.c \
 *     <sources of native/, native/queue, native/resp and native/legacy> -lm
 *
 * With -DNX_FUZZ_FILES it has a main of its own that runs the files named on the command line (any compiler).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../legacy/engine.h"
#include "../queue/dead.h"
#include "../queue/internal.h"
#include "../resp/resp.h"
#include "pieces.h"

#define NOW_MS 1700000000000.0

static const double queue_settings[NX_QUEUES_SETTINGS] = {[NX_QUEUES_CHANNEL_BYTES] = 1024};

static const double resp_settings[NX_RESP_SETTINGS] = {
    [NX_RESP_VALUE_BYTES_MAX] = 4096,       [NX_RESP_ARGUMENTS_MAX] = 1000,
    [NX_RESP_REQUEST_BYTES_MAX] = 1 << 22,  [NX_RESP_INPUT_BYTES_MAX] = 1 << 24,
    [NX_RESP_REPLY_SOFT_BYTES_MAX] = 512,   [NX_RESP_REPLY_BYTES_MAX] = 65536,
    [NX_RESP_SEED] = 7,                     [NX_RESP_KEY_BYTES_MAX] = 1024,
};

static const uint64_t legacy_settings[NX_LEGACY_SETTINGS] = {
    [NX_LEGACY_BATCH_BYTES] = 1024,           [NX_LEGACY_ARRAY_BYTES_MAX] = 4096,
    [NX_LEGACY_INPUT_BYTES_MAX] = 1 << 22,    [NX_LEGACY_REPLY_SOFT_BYTES_MAX] = 512,
    [NX_LEGACY_LISTEN_UPDATES_MAX] = 16,      [NX_LEGACY_REDISTRIBUTE_PERCENT] = 110,
};

typedef struct {
  nx_queues *queues;
  nx_resp *resp;
  nx_resp_connection *redis;
  nx_legacy *legacy;
  nx_legacy_connection *swarm;
  nx_buffer replies;
  uint32_t flags;
  bool is_closed;
  int overflow; /* a file of memory, or 0 */
} client;

static void client_open(client *c, uint8_t options) {
  double settings[NX_QUEUES_SETTINGS];
  memcpy(settings, queue_settings, sizeof settings);
  settings[NX_QUEUES_DROPS_OLDEST] = (options & 16) != 0;
  if ((options & 128) != 0) {
    settings[NX_QUEUES_CHANNELS_MAX] = 3;
    settings[NX_QUEUES_PENDING_MAX] = 2;
  }
  memset(c, 0, sizeof *c);
  c->queues = nx_queues_make(settings, 1, 2);
  if ((options & 64) != 0) nx_queues_spill(c->queues, c->overflow = memfd_create("overflow", 0), 4096);
  nx_queues_dead_letters(c->queues, (options & 32) != 0 ? 2 : 0, (nx_slice){(const uint8_t *)"-dead", 5});
  nx_queues_log(c->queues, true);
  c->resp = nx_resp_queue_new(c->queues, resp_settings);
  c->legacy = nx_legacy_queue_new(c->queues, legacy_settings, (options & 8) != 0);
  NX_ASSERT(c->resp != NULL && c->legacy != NULL);
  nx_legacy_set_address(c->legacy, (const uint8_t *)"127.0.0.1", 9, 10020);
  c->redis = nx_resp_connect(c->resp);
  c->swarm = nx_legacy_connect(c->legacy);
}

/* A consumer that leaves while its channel stays must not be told of anything any more. */
static void leave_while_consuming(client *c) {
  static const uint8_t request[] = {6, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 'l', 'e', 'f', 't'};
  nx_legacy_connection *consumer = nx_legacy_connect(c->legacy);
  uint32_t flags = nx_legacy_feed(c->legacy, consumer, request, sizeof request, NOW_MS);
  nx_legacy_disconnect(c->legacy, consumer);
  nx_queue *queue = nx_queue_find(c->queues, (nx_slice){request + 12, 4});
  if ((flags & NX_LEGACY_LISTENING) == 0 || queue == NULL) return;
  nx_queue_push(queue, (nx_slice){request, 1}, NX_BACK);
  nx_queue_remove(queue);
}

static void client_close(client *c) {
  leave_while_consuming(c);
  nx_resp_disconnect(c->resp, c->redis);
  nx_legacy_disconnect(c->legacy, c->swarm);
  nx_resp_read_statistics(c->resp);
  nx_legacy_read_statistics(c->legacy);
  NX_ASSERT(nx_resp_block(c->resp)[NX_RESP_INPUT_BYTES] == 0 && nx_resp_block(c->resp)[NX_RESP_WATCHED_KEYS] == 0);
  NX_ASSERT(nx_legacy_block(c->legacy)[NX_LEGACY_INPUT_BYTES] == 0);
  NX_ASSERT(nx_legacy_block(c->legacy)[NX_LEGACY_LISTENERS] == 0);
  nx_resp_free(c->resp);
  nx_legacy_free(c->legacy);
  nx_queues_drop(c->queues);
  if (c->overflow > 0) close(c->overflow);
  nx_buffer_free(&c->replies);
}

/* --- Redis ---------------------------------------------------------------------------------------------- */

static void take_redis(client *c, uint32_t flags) {
  for (;;) {
    if ((flags & NX_RESP_ADMIN) != 0) {
      flags = nx_resp_answer(c->resp, c->redis, (const uint8_t *)"+outside\r\n", 10, NOW_MS);
      continue;
    }
    nx_slice replies = nx_block_replies(nx_resp_block(c->resp));
    nx_buffer_append(&c->replies, replies.data, replies.length);
    if ((flags & NX_RESP_CLOSE) != 0) {
      c->is_closed = true;
      return;
    }
    if ((flags & NX_RESP_BLOCKED) != 0) {
      /* Nobody else brings anything: the time of those who wait for ever is never over, they are let go of. */
      nx_resp_expire_blocked(c->resp, NOW_MS * 2);
      if (nx_resp_woken(c->resp) != c->redis) {
        c->is_closed = true;
        return;
      }
    } else if ((flags & NX_RESP_MORE) == 0) {
      return;
    }
    flags = nx_resp_resume(c->resp, c->redis, NOW_MS);
  }
}

/* --- swarm ---------------------------------------------------------------------------------------------- */

static void take_swarm(client *c, uint32_t flags) {
  for (;;) {
    nx_slice replies = nx_block_replies(nx_legacy_block(c->legacy));
    nx_buffer_append(&c->replies, replies.data, replies.length);
    nx_legacy_clear_events(c->legacy);
    c->flags = flags;
    if ((flags & NX_LEGACY_CLOSE) != 0) {
      c->is_closed = true;
      return;
    }
    if ((flags & NX_LEGACY_MORE) == 0) return;
    flags = nx_legacy_resume(c->legacy, c->swarm, NOW_MS);
  }
}

/* Everything that waits for a consumer; then its channel goes. */
static void end_consuming(client *c) {
  for (int streams = 0; streams < 8 && !c->is_closed && (c->flags & NX_LEGACY_LISTENING) != 0; streams++) {
    uint32_t waiting;
    while ((waiting = nx_legacy_waiting(c->swarm)) > 0 && waiting != UINT32_MAX)
      take_swarm(c, nx_legacy_pump(c->legacy, c->swarm, NOW_MS));
    while (nx_queues_first(c->queues) != NULL) nx_queue_remove(nx_queues_first(c->queues));
    take_swarm(c, nx_legacy_pump(c->legacy, c->swarm, NOW_MS));
  }
}

static void send(client *c, bool is_swarm, const uint8_t *bytes, uint64_t length) {
  if (c->is_closed) return;
  /* A copy of its own, so that reading past the chunk is seen. */
  uint8_t *chunk = malloc(length + (length == 0));
  NX_ASSERT(chunk != NULL);
  nx_copy(chunk, bytes, length);
  if (is_swarm) take_swarm(c, nx_legacy_feed(c->legacy, c->swarm, chunk, length, NOW_MS));
  else take_redis(c, nx_resp_feed(c->resp, c->redis, chunk, length, NOW_MS));
  free(chunk);
}

/* --- states --------------------------------------------------------------------------------------------- */

/* In pieces of about 64 bytes. */
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

static nx_queues *replayed(const uint8_t *bytes, uint64_t length, int64_t *count) {
  nx_queues *queues = nx_queues_make(queue_settings, 3, 4);
  uint64_t bad_offset = 0;
  *count = nx_queues_replay(queues, bytes, length, &bad_offset);
  NX_ASSERT(*count >= 0 || bad_offset < length);
  return queues;
}

static void expect_same(nx_queues *left, nx_queues *right) {
  nx_buffer a = {0}, b = {0};
  snapshot(left, &a);
  snapshot(right, &b);
  NX_ASSERT(a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0));
  nx_buffer_free(&a);
  nx_buffer_free(&b);
}

/* The state comes back from its effects, and from a snapshot of that. */
static void check_replay(client *c) {
  int64_t count;
  nx_buffer *effects = nx_queues_effects(c->queues);
  nx_queues *again = replayed(effects->data, effects->length, &count);
  NX_ASSERT(count >= 0);
  expect_same(c->queues, again);
  nx_buffer bytes = {0};
  snapshot(again, &bytes);
  nx_queues *third = replayed(bytes.data, bytes.length, &count);
  NX_ASSERT(count >= 0);
  expect_same(again, third);
  nx_buffer_free(&bytes);
  nx_queues_drop(again);
  nx_queues_drop(third);
}

static void fuzz_effects(const uint8_t *bytes, uint64_t length) {
  int64_t count;
  nx_queues *queues = replayed(bytes, length, &count);
  nx_buffer out = {0};
  snapshot(queues, &out);
  nx_queues *again = replayed(out.data, out.length, &count);
  NX_ASSERT(count >= 0);
  expect_same(queues, again);
  nx_buffer_free(&out);
  nx_queues_drop(queues);
  nx_queues_drop(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 4) return 0;
  uint32_t cuts = cuts_of(data + 1);
  const uint8_t *bytes = data + 4;
  uint64_t length = size - 4;
  if ((data[0] & 3) == 3) {
    fuzz_effects(bytes, length);
    return 0;
  }
  bool is_swarm = (data[0] & 3) == 2;
  client whole, pieces;
  client_open(&whole, data[0]);
  client_open(&pieces, data[0]);
  send(&whole, is_swarm, bytes, length);
  for (uint64_t at = 0, piece; at < length; at += piece) {
    piece = next_piece(&cuts, (data[0] & 4) != 0, length - at);
    send(&pieces, is_swarm, bytes + at, piece);
  }
  check_replay(&whole);
  end_consuming(&whole);
  end_consuming(&pieces);
  /* What is fed behind Consume is bounded: a client in pieces may meet the bound at another byte. */
  if (!is_swarm || length <= 4096) {
    NX_ASSERT(whole.is_closed == pieces.is_closed);
    NX_ASSERT(whole.replies.length == pieces.replies.length);
    NX_ASSERT(whole.replies.length == 0 ||
              memcmp(whole.replies.data, pieces.replies.data, whole.replies.length) == 0);
  }
  client_close(&whole);
  client_close(&pieces);
  return 0;
}

#ifdef NX_FUZZ_FILES
#include "files.h"
#endif
