/*
 * Appends replies in the connection's protocol version. Null has three spellings: a null bulk string and a
 * null array in RESP2, `_` in RESP3.
 *
 * A value that would take the reply past the limit is not appended: `reply_too_large` is set, and nx_call
 * replaces the whole reply by an error.
 */
#ifndef NX_RESP_REPLY_H
#define NX_RESP_REPLY_H
#include <string.h>
#include "engine.h"
#include "number.h"

static inline uint8_t *nx_reply_reserve(nx_resp *engine, uint64_t length) {
  nx_buffer *replies = &engine->replies;
  if (__builtin_expect(replies->capacity - replies->length < length, 0)) nx_buffer_reserve(replies, length);
  return replies->data + replies->length;
}

static inline void nx_reply_raw(nx_resp *engine, const void *bytes, uint64_t length) {
  memcpy(nx_reply_reserve(engine, length), bytes, length);
  engine->replies.length += length;
}

/* A literal with its type byte and line end. */
#define nx_reply_literal(engine, text) nx_reply_raw(engine, text, sizeof(text) - 1)

/* `<type><number>CRLF` */
static inline void nx_reply_number(nx_resp *engine, char type, int64_t value) {
  char *start = (char *)nx_reply_reserve(engine, NX_INTEGER_TEXT_MAX + 3);
  char *at = start;
  *at++ = type;
  at += nx_integer_print(value, at);
  *at++ = '\r';
  *at++ = '\n';
  engine->replies.length += (uint64_t)(at - start);
}

static inline void nx_reply_integer(nx_resp *engine, int64_t value) { nx_reply_number(engine, ':', value); }
static inline void nx_reply_array(nx_resp *engine, uint64_t count) {
  nx_reply_number(engine, '*', (int64_t)count);
}
static inline void nx_reply_ok(nx_resp *engine) { nx_reply_literal(engine, "+OK\r\n"); }

/* Whether a value of this length may be appended; if not, the reply becomes an error. Ask before changing
 * anything. */
static inline bool nx_reply_has_room(nx_resp *engine, uint64_t length) {
  uint64_t so_far = engine->replies.length - engine->reply_start;
  bool fits = so_far + length <= engine->settings[NX_RESP_REPLY_BYTES_MAX];
  if (__builtin_expect(!fits, 0)) engine->reply_too_large = true;
  return fits;
}

static inline void nx_reply_bulk(nx_resp *engine, nx_slice value) {
  if (!nx_reply_has_room(engine, value.length)) return;
  uint8_t *start = nx_reply_reserve(engine, value.length + NX_INTEGER_TEXT_MAX + 5);
  char *at = (char *)start;
  *at++ = '$';
  if (value.length < 10) {
    *at++ = (char)('0' + value.length);
  } else {
    at += nx_integer_print((int64_t)value.length, at);
  }
  *at++ = '\r';
  *at++ = '\n';
  if (value.length > 0) memcpy(at, value.data, value.length);
  at += value.length;
  *at++ = '\r';
  *at++ = '\n';
  engine->replies.length += (uint64_t)((uint8_t *)at - start);
}

static inline void nx_reply_null(nx_resp *engine, const nx_resp_connection *connection) {
  if (connection->protocol == 3) nx_reply_literal(engine, "_\r\n");
  else nx_reply_literal(engine, "$-1\r\n");
}

static inline void nx_reply_null_array(nx_resp *engine, const nx_resp_connection *connection) {
  if (connection->protocol == 3) nx_reply_literal(engine, "_\r\n");
  else nx_reply_literal(engine, "*-1\r\n");
}

/* The whole error text with its code; line ends inside become blanks. */
__attribute__((format(printf, 2, 3))) void nx_reply_error(nx_resp *engine, const char *format, ...);
void nx_reply_syntax_error(nx_resp *engine);
void nx_reply_integer_error(nx_resp *engine);
void nx_reply_arity_error(nx_resp *engine, const nx_command *command);
/* What a failed store call means to a client. */
void nx_reply_store_error(nx_resp *engine, int error);

/* An array whose length is known only at its end: remember where it begins, append members, then close it. */
uint64_t nx_reply_array_open(nx_resp *engine);
/* `type` is that of a reply with members: '*', '%' … */
void nx_reply_head_close(nx_resp *engine, uint64_t opened_at, char type, uint64_t count);
static inline void nx_reply_array_close(nx_resp *engine, uint64_t opened_at, uint64_t count) {
  nx_reply_head_close(engine, opened_at, '*', count);
}

#endif
