/*
 * Fuzz target of the Redis protocol engine. The input is four bytes that choose options and cuts, then the
 * bytes that a client sends. They are fed twice, to two engines over two stores: whole, and in pieces.
 * Checked:
 *   - the replies are the same bytes, and a well-formed sequence of RESP values;
 *   - the connection ends in both or in none;
 *   - what is held for clients is given back when they leave;
 *   - neither sanitizer nor assertion objects.
 *
 *   clang -std=c11 -g -O1 -fsanitize=fuzzer,address,undefined -Inative native/fuzz/resp.c <sources of
 * native/> -lm With -DNX_FUZZ_FILES it has a main of its own that runs the files named on the command line
 * (any compiler).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../resp/resp.h"
#include "pieces.h"

#define NOW_MS 1700000000000.0

static const double settings[NX_RESP_SETTINGS] = {
    [NX_RESP_VALUE_BYTES_MAX] = 4096,
    [NX_RESP_ARGUMENTS_MAX] = 1000,
    [NX_RESP_REQUEST_BYTES_MAX] = 1 << 22,
    [NX_RESP_INPUT_BYTES_MAX] = 1 << 24,
    [NX_RESP_REPLY_SOFT_BYTES_MAX] = 512,
    [NX_RESP_REPLY_BYTES_MAX] = 65536,
    [NX_RESP_AUTHENTICATION_REQUIRED] = 0,
    [NX_RESP_MEMORY_BYTES_MAX] = 0,
    [NX_RESP_SEED] = 7,
    [NX_RESP_KEY_BYTES_MAX] = 1024,
};

typedef struct {
  nx_store *store;
  nx_resp *engine;
  nx_resp_connection *connection;
  nx_buffer replies;
  bool closed;
} client;

static void client_open(client *c, bool authentication) {
  double chosen[NX_RESP_SETTINGS];
  memcpy(chosen, settings, sizeof chosen);
  chosen[NX_RESP_AUTHENTICATION_REQUIRED] = authentication;
  memset(c, 0, sizeof *c);
  c->store = nx_store_new_seeded(0, 1, 2);
  c->engine = nx_resp_new(c->store, chosen);
  NX_ASSERT(c->engine != NULL);
  c->connection = nx_resp_connect(c->engine);
}

static void client_close(client *c) {
  nx_resp_disconnect(c->engine, c->connection);
  nx_resp_read_statistics(c->engine);
  const double *block = nx_resp_block(c->engine);
  NX_ASSERT(block[NX_RESP_INPUT_BYTES] == 0 && block[NX_RESP_WATCHED_KEYS] == 0);
  nx_resp_free(c->engine);
  nx_store_free(c->store);
  nx_buffer_free(&c->replies);
}

static void take_replies(client *c) {
  nx_slice replies = nx_block_replies(nx_resp_block(c->engine));
  nx_buffer_append(&c->replies, replies.data, replies.length);
}

static bool word_is(const uint8_t *at, uint32_t length, const char *word) {
  if (length != strlen(word)) return false;
  for (uint32_t index = 0; index < length; index++) {
    if ((at[index] | 0x20) != word[index]) return false;
  }
  return true;
}

/* Answers an admin command with what it has for an effect and the number of its arguments. */
static uint32_t answer(client *c, double now_ms) {
  const double *block = nx_resp_block(c->engine);
  const uint8_t *text = (const uint8_t *)(uintptr_t)block[NX_RESP_TEXT_ADDRESS];
  uint32_t argc = 0;
  uint32_t length = 0;
  memcpy(&argc, text, sizeof argc);
  memcpy(&length, text + 4, sizeof length);
  NX_ASSERT(argc > 0 && 8 + length <= (uint64_t)block[NX_RESP_TEXT_LENGTH]);
  if (word_is(text + 8, length, "auth")) nx_resp_connection_set(c->connection, NX_RESP_SET_AUTHENTICATED, 1);
  if (word_is(text + 8, length, "reset")) nx_resp_connection_reset(c->engine, c->connection);
  if (word_is(text + 8, length, "hello"))
    nx_resp_connection_set(c->connection, NX_RESP_SET_PROTOCOL, 2 + argc % 2);
  if (word_is(text + 8, length, "info")) {
    /* These write where the arguments were. */
    nx_resp_describe_connection(c->engine, c->connection);
    nx_resp_describe_channels(c->engine);
    nx_resp_describe_commands(c->engine);
  }
  char reply[32];
  int printed = snprintf(reply, sizeof reply, ":%u\r\n", argc);
  return nx_resp_answer(c->engine, c->connection, (const uint8_t *)reply, (uint64_t)printed, now_ms);
}

static void send(client *c, const uint8_t *bytes, uint64_t length, double now_ms) {
  if (c->closed) return;
  /* A copy of its own, so that reading past the chunk is seen. */
  uint8_t *chunk = malloc(length + (length == 0));
  NX_ASSERT(chunk != NULL);
  if (length > 0) memcpy(chunk, bytes, length);
  uint32_t flags = nx_resp_feed(c->engine, c->connection, chunk, length, now_ms);
  free(chunk);
  while ((flags & (NX_RESP_ADMIN | NX_RESP_MORE)) != 0) {
    if ((flags & NX_RESP_ADMIN) != 0) {
      flags = answer(c, now_ms);
    } else {
      take_replies(c);
      flags = nx_resp_resume(c->engine, c->connection, now_ms);
    }
  }
  take_replies(c);
  c->closed = (flags & NX_RESP_CLOSE) != 0;
}

/* The offset behind the value at `at`; aborts when it is malformed. */
static uint64_t check_value(const uint8_t *bytes, uint64_t length, uint64_t at) {
  NX_ASSERT(at < length);
  const uint8_t *end = memchr(bytes + at, '\r', length - at);
  NX_ASSERT(end != NULL && end + 1 < bytes + length && end[1] == '\n');
  uint64_t next = (uint64_t)(end - bytes) + 2;
  char type = (char)bytes[at];
  NX_ASSERT(strchr("+-:$*_", type) != NULL);
  if (type != '$' && type != '*') return next;
  long number = strtol((const char *)bytes + at + 1, NULL, 10);
  NX_ASSERT(number >= -1);
  if (number < 0) return next;
  if (type == '$') {
    NX_ASSERT(next + (uint64_t)number + 2 <= length);
    next += (uint64_t)number;
    NX_ASSERT(bytes[next] == '\r' && bytes[next + 1] == '\n');
    return next + 2;
  }
  for (long member = 0; member < number; member++) next = check_value(bytes, length, next);
  return next;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 4) return 0;
  bool authentication = (data[0] & 1) != 0;
  uint32_t cuts = cuts_of(data + 1);
  const uint8_t *bytes = data + 4;
  uint64_t length = size - 4;
  uint64_t half = length / 2;
  client whole;
  client pieces;
  client_open(&whole, authentication);
  client_open(&pieces, authentication);
  /* Time passes once, at the same byte for both, so that expiry has its turn. */
  send(&whole, bytes, half, NOW_MS);
  send(&whole, bytes + half, length - half, NOW_MS + 100000);
  for (uint64_t at = 0, piece; at < length; at += piece) {
    piece = next_piece(&cuts, (data[0] & 2) != 0, (at < half ? half : length) - at);
    send(&pieces, bytes + at, piece, at < half ? NOW_MS : NOW_MS + 100000);
  }
  NX_ASSERT(whole.closed == pieces.closed);
  NX_ASSERT(whole.replies.length == pieces.replies.length);
  NX_ASSERT(whole.replies.length == 0 ||
            memcmp(whole.replies.data, pieces.replies.data, whole.replies.length) == 0);
  for (uint64_t at = 0; at < whole.replies.length;)
    at = check_value(whole.replies.data, whole.replies.length, at);
  client_close(&whole);
  client_close(&pieces);
  return 0;
}

#ifdef NX_FUZZ_FILES
#include "files.h"
#endif
