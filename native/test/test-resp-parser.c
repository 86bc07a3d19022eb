/*
 * The request parser on inputs that end where memory ends: every input is placed before a page that must not
 * be read, so one byte too far ends the program. Claims: a strict prefix is incomplete, the whole is
 * complete, a parse that goes on after more bytes arrived (at another address) finds the same arguments, and
 * a broken byte never harms.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../resp/parser.h"
#include "tap.h"

static const nx_request_limits limits = {
    .arguments_max = 100, .bulk_bytes_max = 5000, .line_bytes_max = 300, .authenticated = true};

/* A copy of the bytes whose end is the end of readable memory. `slot` chooses one of two places. */
static const uint8_t *place_at_end(const void *bytes, uint64_t length, int slot) {
  static uint8_t *ends[2];
  static uint64_t readable;
  if (ends[slot] == NULL) {
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    readable = 4 * page;
    uint8_t *memory = mmap(NULL, readable + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory + readable, page, PROT_NONE) != 0) abort();
    ends[slot] = memory + readable;
  }
  if (length > readable) abort();
  if (length > 0) memcpy(ends[slot] - length, bytes, length);
  return ends[slot] - length;
}

typedef struct {
  const char *bytes;
  uint64_t length;
  uint32_t count;
  const char *first;
  const char *last;
} example;

#define EXAMPLE(text, count, first, last) {text, sizeof(text) - 1, count, first, last}

static const example examples[] = {
    EXAMPLE("*1\r\n$4\r\nPING\r\n", 1, "PING", "PING"),
    EXAMPLE("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$0\r\n\r\n", 3, "SET", ""),
    EXAMPLE("*2\r\n$4\r\nECHO\r\n$12\r\nhello\r\nworld\r\n", 2, "ECHO", "hello\r\nworld"),
    EXAMPLE(
        "*2\r\n$4\r\nECHO\r\n$121\r\n0123456789012345678901234567890123456789012345678901234567890123456789"
        "012345678901234567890123456789012345678901234567890\r\n",
        2, "ECHO",
        "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
        "012345678901234567890"),
    EXAMPLE("*0\r\n", 0, NULL, NULL),
    EXAMPLE("*-1\r\n", 0, NULL, NULL),
    EXAMPLE("PING\r\n", 1, "PING", "PING"),
    EXAMPLE("PING\n", 1, "PING", "PING"),
    EXAMPLE("\r\n", 0, NULL, NULL),
    EXAMPLE("  SET \t k \"a \\x41\\n\\\"\" \r\n", 3, "SET", "a A\n\""),
    EXAMPLE("SET k 'it\\'s'\r\n", 3, "SET", "it's"),
    EXAMPLE("SET k \"\"\r\n", 3, "SET", ""),
};
#define EXAMPLES (sizeof examples / sizeof examples[0])

static bool equals(nx_slice slice, const char *text) {
  return slice.length == strlen(text) && memcmp(slice.data, text, slice.length) == 0;
}

static bool is_as_expected(const nx_request *request, const example *e) {
  if (request->position != e->length || request->count != e->count) return false;
  if (e->count == 0) return true;
  return equals(request->arguments[0], e->first) && equals(request->arguments[e->count - 1], e->last);
}

static void whole_requests_are_complete(void) {
  for (uint64_t index = 0; index < EXAMPLES; index++) {
    const example *e = &examples[index];
    nx_request request = {0};
    nx_request_begin(&request);
    CHECK(nx_request_parse(&request, place_at_end(e->bytes, e->length, 0), e->length, &limits) ==
          NX_REQUEST_COMPLETE);
    CHECK(is_as_expected(&request, e));
    nx_request_free(&request);
  }
}

static void strict_prefixes_are_incomplete(void) {
  for (uint64_t index = 0; index < EXAMPLES; index++) {
    const example *e = &examples[index];
    for (uint64_t length = 0; length < e->length; length++) {
      nx_request request = {0};
      nx_request_begin(&request);
      const uint8_t *bytes = place_at_end(e->bytes, length, 0);
      CHECK(nx_request_parse(&request, bytes, length, &limits) == NX_REQUEST_INCOMPLETE);
      nx_request_free(&request);
    }
  }
}

/* Byte by byte, each time at another address. */
static void parsing_goes_on_where_it_stopped(void) {
  for (uint64_t index = 0; index < EXAMPLES; index++) {
    const example *e = &examples[index];
    nx_request request = {0};
    nx_request_begin(&request);
    nx_request_status status = NX_REQUEST_INCOMPLETE;
    for (uint64_t length = 0; length <= e->length; length++) {
      CHECK(status == NX_REQUEST_INCOMPLETE);
      status = nx_request_parse(&request, place_at_end(e->bytes, length, (int)(length % 2)), length, &limits);
    }
    CHECK(status == NX_REQUEST_COMPLETE);
    CHECK(is_as_expected(&request, e));
    nx_request_free(&request);
  }
}

/* Any answer is right; reading outside is not. Whatever is called an argument must be readable. */
static void broken_bytes_do_no_harm(void) {
  static const uint8_t replacements[] = {0, '\r', '\n', '*', '$', '-', '9', '"', '\'', '\\', ' ', 0xff};
  volatile uint8_t sink = 0;
  for (uint64_t index = 0; index < EXAMPLES; index++) {
    const example *e = &examples[index];
    for (uint64_t at = 0; at < e->length; at++) {
      for (uint64_t replacement = 0; replacement < sizeof replacements; replacement++) {
        uint8_t bytes[512];
        memcpy(bytes, e->bytes, e->length);
        bytes[at] = replacements[replacement];
        nx_request request = {0};
        nx_request_begin(&request);
        const uint8_t *placed = place_at_end(bytes, e->length, 0);
        nx_request_status status = nx_request_parse(&request, placed, e->length, &limits);
        CHECK(status != NX_REQUEST_COMPLETE || request.position <= e->length);
        for (uint32_t argument = 0; status == NX_REQUEST_COMPLETE && argument < request.count; argument++) {
          nx_slice slice = request.arguments[argument];
          for (uint64_t byte = 0; byte < slice.length; byte++) sink = (uint8_t)(sink ^ slice.data[byte]);
        }
        CHECK(status != NX_REQUEST_BAD || strlen(request.error) > 0);
        nx_request_free(&request);
      }
    }
  }
}

static void limits_hold_however_the_bytes_arrive(void) {
  uint8_t line[400];
  memset(line, 'x', sizeof line);
  for (uint64_t length = 1; length <= sizeof line; length++) {
    nx_request request = {0};
    nx_request_begin(&request);
    nx_request_status status = nx_request_parse(&request, place_at_end(line, length, 0), length, &limits);
    CHECK(status == (length > limits.line_bytes_max ? NX_REQUEST_BAD : NX_REQUEST_INCOMPLETE));
    nx_request_free(&request);
  }
  line[350] = '\n';
  nx_request request = {0};
  nx_request_begin(&request);
  CHECK(nx_request_parse(&request, place_at_end(line, 351, 0), 351, &limits) == NX_REQUEST_BAD);
  nx_request_begin(&request);
  CHECK(nx_request_parse(&request, place_at_end("*101\r\n", 6, 0), 6, &limits) == NX_REQUEST_BAD);
  nx_request_begin(&request);
  CHECK(nx_request_parse(&request, place_at_end("*1\r\n$5001\r\n", 11, 0), 11, &limits) == NX_REQUEST_BAD);
  nx_request_free(&request);
}

int main(void) {
  TEST("whole requests are complete", whole_requests_are_complete);
  TEST("every strict prefix is incomplete", strict_prefixes_are_incomplete);
  TEST("parsing goes on where it stopped, wherever the bytes are", parsing_goes_on_where_it_stopped);
  TEST("broken bytes do no harm", broken_bytes_do_no_harm);
  TEST("limits hold however the bytes arrive", limits_hold_however_the_bytes_arrive);
  TAP_END();
}
