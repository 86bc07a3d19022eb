/* See lines.h. Escapes are those of RFC 8259: quote, backslash and what is below a blank. */
#include "lines.h"

#include <stdbool.h>
#include <string.h>

#include "nx.h"

static void append(nx_buffer *to, const char *text) { nx_buffer_append(to, text, strlen(text)); }

static void append_number(nx_buffer *to, uint64_t value) {
  char text[20];
  uint32_t at = sizeof text;
  do {
    text[--at] = (char)('0' + value % 10);
    value /= 10;
  } while (value > 0);
  nx_buffer_append(to, text + at, sizeof text - at);
}

/* The length of the UTF-8 sequence at `at`, 0 when there is none (overlong forms and surrogates are none). */
static uint32_t sequence_length(const uint8_t *at, uint64_t left) {
  static const struct { uint8_t first_min, first_max, second_min, second_max, length; } forms[] = {
      {0x00, 0x7f, 0x00, 0xff, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
      {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
      {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
  };
  for (uint32_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
    if (at[0] < forms[i].first_min || at[0] > forms[i].first_max) continue;
    uint32_t length = forms[i].length;
    if (length > left) return 0;
    if (length > 1 && (at[1] < forms[i].second_min || at[1] > forms[i].second_max)) return 0;
    for (uint32_t k = 2; k < length; k++)
      if ((at[k] & 0xc0) != 0x80) return 0;
    return length;
  }
  return 0;
}

static bool is_utf8(const uint8_t *bytes, uint64_t length) {
  for (uint64_t at = 0; at < length;) {
    if (bytes[at] < 0x80) {
      at += 1;
      continue;
    }
    uint32_t sequence = sequence_length(bytes + at, length - at);
    if (sequence == 0) return false;
    at += sequence;
  }
  return true;
}

static void append_escaped(nx_buffer *to, const uint8_t *bytes, uint64_t length) {
  nx_buffer_reserve(to, 6 * length);
  uint8_t *out = to->data + to->length;
  for (uint64_t i = 0; i < length; i++) {
    uint8_t c = bytes[i];
    if (c >= 0x20 && c != '"' && c != '\\') {
      *out++ = c;
      continue;
    }
    *out++ = '\\';
    switch (c) {
      case '"':
      case '\\': *out++ = c; break;
      case '\n': *out++ = 'n'; break;
      case '\r': *out++ = 'r'; break;
      case '\t': *out++ = 't'; break;
      default:
        memcpy(out, "u00", 3);
        out[3] = (uint8_t)('0' + (c >> 4));
        out[4] = (uint8_t)"0123456789abcdef"[c & 15];
        out += 5;
    }
  }
  to->length = (uint64_t)(out - to->data);
}

static void append_base64(nx_buffer *to, const uint8_t *bytes, uint64_t length) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  nx_buffer_reserve(to, 4 * (length / 3 + 1));
  uint8_t *out = to->data + to->length;
  for (uint64_t i = 0; i < length; i += 3) {
    uint64_t left = length - i;
    uint32_t group = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                     (left > 2 ? bytes[i + 2] : 0);
    *out++ = (uint8_t)digits[group >> 18];
    *out++ = (uint8_t)digits[group >> 12 & 63];
    *out++ = left > 1 ? (uint8_t)digits[group >> 6 & 63] : '=';
    *out++ = left > 2 ? (uint8_t)digits[group & 63] : '=';
  }
  to->length = (uint64_t)(out - to->data);
}

void nx_line_append(nx_buffer *to, uint64_t key, const uint8_t *value, uint64_t length) {
  append(to, "{\"time\":");
  append_number(to, key);
  if (is_utf8(value, length)) {
    append(to, ",\"value\":\"");
    append_escaped(to, value, length);
  } else {
    append(to, ",\"base64\":\"");
    append_base64(to, value, length);
  }
  append(to, "\"}\n");
}
