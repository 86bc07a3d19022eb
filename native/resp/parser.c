/* See parser.h. Grammar and error texts are those of Redis 7.0.15, as a client observes them. */
#include "parser.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "nx.h"
#include "number.h"

#define ARGUMENTS_KEPT 64u
#define UNAUTHENTICATED_ARGUMENTS_MAX 10
#define UNAUTHENTICATED_BULK_BYTES_MAX 16384

static nx_request_status bad(nx_request *request, const char *text) {
  snprintf(request->error, sizeof request->error, "%s", text);
  return NX_REQUEST_BAD;
}

void nx_request_begin(nx_request *request) {
  request->base = NULL;
  request->position = 0;
  request->scanned = 0;
  request->missing = -1;
  request->bulk_length = -1;
  request->count = 0;
  request->unescaped.length = 0;
}

void nx_request_trim(nx_request *request) {
  if (request->unescaped.capacity > 0) nx_buffer_free(&request->unescaped);
  if (request->capacity <= ARGUMENTS_KEPT) return;
  free(request->arguments);
  request->arguments = NULL;
  request->capacity = 0;
}

void nx_request_free(nx_request *request) {
  nx_buffer_free(&request->unescaped);
  free(request->arguments);
  request->arguments = NULL;
  request->capacity = 0;
}

static void add_argument(nx_request *request, const uint8_t *data, uint64_t length) {
  if (request->count == request->capacity) {
    /* Grown by what arrived, never by what a header announces. */
    request->capacity = request->capacity == 0 ? ARGUMENTS_KEPT : request->capacity * 2;
    request->arguments = realloc(request->arguments, request->capacity * sizeof(nx_slice));
    NX_ASSERT(request->arguments != NULL);
  }
  request->arguments[request->count++] = (nx_slice){data, length};
}

/* The bytes moved: point the arguments that are known already to where they are. */
static void rebase(nx_request *request, const uint8_t *bytes) {
  if (request->base == bytes) return;
  uintptr_t from = (uintptr_t)request->base;
  for (uint32_t index = 0; index < request->count; index++) {
    uintptr_t offset = (uintptr_t)request->arguments[index].data - from;
    request->arguments[index].data = bytes + offset;
  }
  request->base = bytes;
}

/* Looks for `end` in the line at `position` and remembers how far it looked. */
static const uint8_t *find_line_end(nx_request *request, const uint8_t *bytes, uint64_t length, int end,
                                    uint64_t line_bytes_max, bool *too_long) {
  const uint8_t *line = bytes + request->position;
  uint64_t available = length - request->position;
  uint64_t searched = available > line_bytes_max + 1 ? line_bytes_max + 1 : available;
  const uint8_t *found = NULL;
  if (searched > request->scanned) found = memchr(line + request->scanned, end, searched - request->scanned);
  *too_long = found == NULL && available > line_bytes_max;
  if (found == NULL) request->scanned = searched;
  return found;
}

/* The decimal after the type byte at `position`, up to CR and one more byte (LF, which Redis does not check).
 */
static nx_request_status read_length(nx_request *request, const uint8_t *bytes, uint64_t length,
                                     uint64_t line_bytes_max, const char *too_long_text, bool *number,
                                     int64_t *value) {
  bool too_long = false;
  const uint8_t *end = find_line_end(request, bytes, length, '\r', line_bytes_max, &too_long);
  if (too_long) return bad(request, too_long_text);
  if (end == NULL || end + 1 >= bytes + length) return NX_REQUEST_INCOMPLETE;
  const uint8_t *digits = bytes + request->position + 1;
  /* A CR in place of the type byte leaves nothing to read. */
  uint64_t digit_count = end > digits ? (uint64_t)(end - digits) : 0;
  *number = nx_integer_read((nx_slice){digits, digit_count}, value);
  request->position = (uint64_t)(end - bytes) + 2;
  request->scanned = 0;
  return NX_REQUEST_COMPLETE;
}

static nx_request_status read_count(nx_request *request, const uint8_t *bytes, uint64_t length,
                                    const nx_request_limits *limits) {
  if (length >= 4 && bytes[1] >= '1' && bytes[1] <= '9' && bytes[2] == '\r') {
    request->missing = bytes[1] - '0';
    request->position = 4;
    request->scanned = 0;
    return NX_REQUEST_COMPLETE;
  }
  int64_t count = 0;
  bool number = false;
  nx_request_status status = read_length(request, bytes, length, limits->line_bytes_max,
                                         "too big mbulk count string", &number, &count);
  if (status != NX_REQUEST_COMPLETE) return status;
  if (!number || count > (int64_t)limits->arguments_max) return bad(request, "invalid multibulk length");
  if (count > UNAUTHENTICATED_ARGUMENTS_MAX && !limits->authenticated) {
    return bad(request, "unauthenticated multibulk length");
  }
  request->missing = count < 0 ? 0 : count;
  return NX_REQUEST_COMPLETE;
}

static nx_request_status read_bulk_length(nx_request *request, const uint8_t *bytes, uint64_t length,
                                          const nx_request_limits *limits) {
  uint64_t at = request->position;
  int64_t bulk_length = 0;
  bool number = false;
  nx_request_status status = read_length(request, bytes, length, limits->line_bytes_max,
                                         "too big bulk count string", &number, &bulk_length);
  if (status != NX_REQUEST_COMPLETE) return status;
  if (bytes[at] != '$') {
    snprintf(request->error, sizeof request->error, "expected '$', got '%c'", bytes[at]);
    return NX_REQUEST_BAD;
  }
  if (!number || bulk_length < 0 || bulk_length > (int64_t)limits->bulk_bytes_max) {
    return bad(request, "invalid bulk length");
  }
  if (bulk_length > UNAUTHENTICATED_BULK_BYTES_MAX && !limits->authenticated) {
    return bad(request, "unauthenticated bulk length");
  }
  request->bulk_length = bulk_length;
  return NX_REQUEST_COMPLETE;
}

/* `$3\r\nGET\r\n` with a length of one or two digits, all of it there: the case that matters for speed. */
static bool read_short_argument(nx_request *request, const uint8_t *bytes, uint64_t length) {
  const uint8_t *at = bytes + request->position;
  uint64_t available = length - request->position;
  if (available < 6 || at[0] != '$' || at[1] < '1' || at[1] > '9') return false;
  uint64_t bulk_length = (uint64_t)(at[1] - '0');
  uint64_t header = 4;
  if (at[2] >= '0' && at[2] <= '9') {
    bulk_length = bulk_length * 10 + (uint64_t)(at[2] - '0');
    header = 5;
  }
  if (at[header - 2] != '\r' || available < header + bulk_length + 2) return false;
  add_argument(request, at + header, bulk_length);
  request->position += header + bulk_length + 2;
  request->scanned = 0;
  return true;
}

static nx_request_status read_arguments(nx_request *request, const uint8_t *bytes, uint64_t length,
                                        const nx_request_limits *limits) {
  while (request->missing > 0) {
    if (request->bulk_length < 0) {
      if (read_short_argument(request, bytes, length)) {
        request->missing--;
        continue;
      }
      nx_request_status status = read_bulk_length(request, bytes, length, limits);
      if (status != NX_REQUEST_COMPLETE) return status;
    }
    uint64_t bulk_length = (uint64_t)request->bulk_length;
    if (length - request->position < bulk_length + 2) return NX_REQUEST_INCOMPLETE;
    add_argument(request, bytes + request->position, bulk_length);
    request->position += bulk_length + 2;
    request->bulk_length = -1;
    request->missing--;
  }
  return NX_REQUEST_COMPLETE;
}

static int hex_digit(uint8_t byte) {
  if (byte >= '0' && byte <= '9') return byte - '0';
  uint8_t lower = byte | 0x20;
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* One byte of a double-quoted word, after a backslash at `at`. Returns how many bytes it took. */
static uint64_t unescape(const uint8_t *at, const uint8_t *end, uint8_t *out) {
  if (end - at >= 4 && at[1] == 'x' && hex_digit(at[2]) >= 0 && hex_digit(at[3]) >= 0) {
    *out = (uint8_t)(hex_digit(at[2]) * 16 + hex_digit(at[3]));
    return 4;
  }
  switch (at[1]) {
    case 'n': *out = '\n'; break;
    case 'r': *out = '\r'; break;
    case 't': *out = '\t'; break;
    case 'b': *out = '\b'; break;
    case 'a': *out = '\a'; break;
    default: *out = at[1];
  }
  return 2;
}

/* A word that starts at `at`, appended to `out`. Returns where it ends, or NULL when its quotes do not match.
 */
static const uint8_t *read_word(const uint8_t *at, const uint8_t *end, nx_buffer *out) {
  uint8_t quote = 0;
  while (at < end) {
    uint8_t byte = *at;
    uint64_t taken = 1;
    if (quote == 0) {
      if (byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n') return at;
      if (byte == '"' || byte == '\'') {
        quote = byte;
        at++;
        continue;
      }
    } else if (byte == quote) {
      /* A closing quote must end the word. */
      return at + 1 < end && !isspace(at[1]) ? NULL : at + 1;
    } else if (byte == '\\' && quote == '"' && at + 1 < end) {
      taken = unescape(at, end, &byte);
    } else if (byte == '\\' && quote == '\'' && at + 1 < end && at[1] == '\'') {
      byte = '\'';
      taken = 2;
    }
    nx_buffer_append(out, &byte, 1);
    at += taken;
  }
  return quote == 0 ? at : NULL;
}

/* Where the next word begins, or `end`. */
static const uint8_t *skip_blanks(const uint8_t *at, const uint8_t *end) {
  while (at < end && isspace(*at)) at++;
  return at;
}

static nx_request_status read_inline(nx_request *request, const uint8_t *bytes, uint64_t length,
                                     const nx_request_limits *limits) {
  bool too_long = false;
  const uint8_t *newline = find_line_end(request, bytes, length, '\n', limits->line_bytes_max, &too_long);
  if (too_long) return bad(request, "too big inline request");
  if (newline == NULL) return NX_REQUEST_INCOMPLETE;
  request->position = (uint64_t)(newline - bytes) + 1;
  const uint8_t *end = newline > bytes && newline[-1] == '\r' ? newline - 1 : newline;
  /* Reserved at once: the words point into this buffer, so it must not move. */
  nx_buffer_reserve(&request->unescaped, (uint64_t)(end - bytes) + 1);
  for (const uint8_t *at = skip_blanks(bytes, end); at < end; at = skip_blanks(at, end)) {
    uint64_t start = request->unescaped.length;
    at = read_word(at, end, &request->unescaped);
    if (at == NULL) return bad(request, "unbalanced quotes in request");
    add_argument(request, request->unescaped.data + start, request->unescaped.length - start);
  }
  return NX_REQUEST_COMPLETE;
}

nx_request_status nx_request_parse(nx_request *request, const uint8_t *bytes, uint64_t length,
                                   const nx_request_limits *limits) {
  rebase(request, bytes);
  if (length <= request->position && request->missing != 0) return NX_REQUEST_INCOMPLETE;
  if (request->missing < 0) {
    if (bytes[0] != '*') return read_inline(request, bytes, length, limits);
    nx_request_status status = read_count(request, bytes, length, limits);
    if (status != NX_REQUEST_COMPLETE) return status;
  }
  return read_arguments(request, bytes, length, limits);
}
