/*
 * The text form of a dump, one record per line: `<16 hex>:<base64>`, base64 as in RFC 4648 with padding.
 *
 * Invariant: a line is either taken whole or refused; a value that decodes is the only one with that text.
 */
#include "tcm-lines.h"

#include <errno.h>

#include "bytes.h"
#include "tcm.h"

#define KEY_CHARACTERS 16u

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void nx_tcm_hex(uint64_t key, uint8_t *to) {
  for (uint32_t i = 0; i < KEY_CHARACTERS; i++) to[i] = (uint8_t)"0123456789abcdef"[key >> (60 - 4 * i) & 15];
}

void nx_tcm_line_append(nx_buffer *lines, uint64_t key, nx_slice value) {
  uint64_t groups = value.length / 3, rest = value.length % 3;
  nx_buffer_reserve(lines, KEY_CHARACTERS + 2 + 4 * (groups + 1));
  uint8_t *at = lines->data + lines->length;
  const uint8_t *from = value.data;
  nx_tcm_hex(key, at);
  at += KEY_CHARACTERS;
  *at++ = ':';
  for (uint64_t i = 0; i < groups; i++, from += 3, at += 4) {
    uint32_t bits = (uint32_t)from[0] << 16 | (uint32_t)from[1] << 8 | from[2];
    for (uint32_t c = 0; c < 4; c++) at[c] = (uint8_t)alphabet[bits >> (18 - 6 * c) & 63];
  }
  if (rest != 0) {
    uint32_t bits = (uint32_t)from[0] << 16 | (rest == 2 ? (uint32_t)from[1] << 8 : 0);
    for (uint32_t c = 0; c < 4; c++) at[c] = c <= rest ? (uint8_t)alphabet[bits >> (18 - 6 * c) & 63] : '=';
    at += 4;
  }
  *at++ = '\n';
  lines->length = (uint64_t)(at - lines->data);
}

/* 0-63, or 64 for a character that is not of the alphabet. */
static uint32_t sextet(uint8_t c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26u;
  if (c >= '0' && c <= '9') return c - '0' + 52u;
  return c == '+' ? 62 : c == '/' ? 63 : 64;
}

/* Decodes in place of `to`; returns the length, or -1. Bits that the padding cuts off must be zero. */
static int64_t decode(const uint8_t *text, uint64_t length, uint8_t *to) {
  if (length == 0 || length % 4 != 0) return -1;
  uint32_t padding = text[length - 1] != '=' ? 0 : text[length - 2] != '=' ? 1 : 2;
  uint8_t *start = to;
  for (uint64_t at = 0; at < length; at += 4) {
    bool is_last = at + 4 == length;
    uint32_t characters = is_last ? 4 - padding : 4, bits = 0;
    for (uint32_t c = 0; c < 4; c++) {
      uint32_t value = c < characters ? sextet(text[at + c]) : 0;
      if (value == 64) return -1;
      bits = bits << 6 | value;
    }
    for (uint32_t b = 0; b < characters - 1; b++) *to++ = (uint8_t)(bits >> (16 - 8 * b));
    if (characters < 4 && (bits & (characters == 3 ? 0xffu : 0xffffu)) != 0) return -1;
  }
  return to - start;
}

static bool take_line(const uint8_t *text, uint64_t length, nx_buffer *tcm) {
  if (length > 0 && text[length - 1] == '\r') length -= 1;
  uint64_t key;
  if (length < KEY_CHARACTERS + 1 || text[KEY_CHARACTERS] != ':' || !nx_tcm_key(text, &key)) return false;
  uint64_t start = tcm->length;
  nx_tcm_record_append(tcm, key, (nx_slice){NULL, 0});
  nx_buffer_reserve(tcm, length);
  int64_t decoded = decode(text + KEY_CHARACTERS + 1, length - KEY_CHARACTERS - 1, tcm->data + tcm->length);
  if (decoded <= 0 || (uint64_t)decoded > NX_VALUE_BYTES_MAX) {
    tcm->length = start;
    return false;
  }
  nx_store64(tcm->data + start + 24, (uint64_t)decoded);
  tcm->length += (uint64_t)decoded;
  return true;
}

int64_t nx_tcm_from_lines(nx_tcm_lines *state, const uint8_t *text, uint64_t length, bool is_last, nx_buffer *tcm) {
  uint64_t at = 0;
  while (at < length) {
    const uint8_t *feed = memchr(text + at, '\n', length - at);
    if (feed == NULL && !is_last) break;
    uint64_t end = feed == NULL ? length : (uint64_t)(feed - text);
    if (!take_line(text + at, end - at, tcm)) return -EBADMSG;
    state->line += 1;
    state->records += 1;
    at = feed == NULL ? end : end + 1;
  }
  return (int64_t)at;
}
