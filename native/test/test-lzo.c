/*
 * LZO1X: the codec before guard pages. Each buffer ends at a page that must not be touched, so one byte too
 * many ends the program.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "../lzo.h"
#include "tap.h"

#define PAGES 40u
#define CONTENT_MAX 70000u

typedef struct {
  uint8_t *end; /* the first byte that must not be touched */
} guarded;

static guarded guarded_new(void) {
  uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
  uint8_t *memory = mmap(NULL, (PAGES + 2) * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory + page, PAGES * page, PROT_READ | PROT_WRITE) != 0) abort();
  return (guarded){memory + page + PAGES * page};
}

static guarded input, output, again;
static nx_lzo_table table;

/* Content of a kind: random, one byte, few letters, text that repeats near and far. */
static void fill(uint8_t *to, uint64_t length, uint32_t kind, uint64_t *seed) {
  for (uint64_t i = 0; i < length; i++) {
    uint64_t random = test_random(seed);
    if (kind == 0) to[i] = (uint8_t)random;
    else if (kind == 1) to[i] = 7;
    else if (kind == 2) to[i] = "abcd"[random & 3];
    else if (i < 60 || (random & 63) == 0) to[i] = (uint8_t)random;
    else to[i] = to[i - (kind == 3 ? 60 : (i > 20000 ? 20000 : 33))];
  }
}

static void comes_back(void) {
  uint64_t seed = 1;
  for (uint32_t round = 0; round < 3000; round++) {
    uint64_t length = round < 600 ? round : test_random(&seed) % (round % 50 == 0 ? CONTENT_MAX : 3000);
    uint8_t *content = input.end - length;
    fill(content, length, round % 5, &seed);
    uint64_t bound = nx_lzo_bound(length);
    uint8_t *stream = output.end - bound;
    uint64_t stream_length = nx_lzo_encode(content, length, stream, &table);
    CHECK(stream_length <= bound);
    /* At the very end of its page, into a buffer that is exactly as long as the content. */
    memmove(output.end - stream_length, stream, stream_length);
    uint8_t *decoded = again.end - length;
    CHECK(nx_lzo_decode(output.end - stream_length, stream_length, decoded, length) == (int64_t)length);
    CHECK(memcmp(decoded, content, length) == 0);
    if (length > 0)
      CHECK(nx_lzo_decode(output.end - stream_length, stream_length, again.end - length + 1, length - 1) < 0);
  }
}

static void refuses_prefixes(void) {
  uint64_t seed = 2, length = 2000;
  for (uint32_t kind = 0; kind < 5; kind++) {
    uint8_t *content = input.end - length;
    fill(content, length, kind, &seed);
    uint8_t stream[4000];
    uint64_t stream_length = nx_lzo_encode(content, length, stream, &table);
    for (uint64_t cut = 0; cut < stream_length; cut++) {
      memcpy(output.end - cut, stream, cut);
      CHECK(nx_lzo_decode(output.end - cut, cut, again.end - length, length) < 0);
    }
  }
}

static void survives_damage(void) {
  uint64_t seed = 3;
  for (uint32_t round = 0; round < 200000; round++) {
    uint64_t length = 16 + test_random(&seed) % 200;
    uint8_t *content = input.end - length;
    fill(content, length, round % 5, &seed);
    uint8_t *stream = output.end - nx_lzo_bound(length);
    uint64_t stream_length = nx_lzo_encode(content, length, stream, &table);
    memmove(output.end - stream_length, stream, stream_length);
    stream = output.end - stream_length;
    for (uint32_t flips = 0; flips < 1 + round % 4; flips++)
      stream[test_random(&seed) % stream_length] = (uint8_t)test_random(&seed);
    int64_t decoded = nx_lzo_decode(stream, stream_length, again.end - length, length);
    CHECK(decoded <= (int64_t)length);
  }
}

/* Matches at the ends of what each form of match can reach. */
static void distances(void) {
  static const uint32_t ends[] = {1,     2,     2047,  2048,  2049,  16383, 16384,
                                  16385, 32767, 32768, 32769, 49150, 49151, 49152};
  uint64_t seed = 4;
  for (uint32_t i = 0; i < sizeof ends / sizeof *ends; i++) {
    for (uint64_t match = 4; match < 600; match = match < 60 ? match + 1 : match * 2 + 1) {
      uint64_t length = ends[i] + match;
      uint8_t *content = input.end - length;
      /* Zeros in between: a far match must be found past nearer candidates of other content. */
      memset(content, 0, length);
      for (uint64_t at = 0; at < match && at < ends[i]; at++)
        content[at] = (uint8_t)(1 + test_random(&seed) % 255);
      for (uint64_t at = ends[i]; at < length; at++) content[at] = content[at - ends[i]];
      uint64_t stream_length = nx_lzo_encode(content, length, output.end - nx_lzo_bound(length), &table);
      uint8_t *stream = output.end - nx_lzo_bound(length);
      CHECK(nx_lzo_decode(stream, stream_length, again.end - length, length) == (int64_t)length);
      CHECK(memcmp(again.end - length, content, length) == 0);
    }
  }
}

static void literal_streams(void) {
  const uint8_t empty[] = {0x11, 0, 0};
  uint8_t out[8];
  CHECK(nx_lzo_decode(empty, 3, out, 0) == 0);
  CHECK(nx_lzo_decode(empty, 2, out, 8) < 0 && nx_lzo_decode(empty, 0, out, 8) < 0);
  /* A match that reaches before the content. */
  const uint8_t before[] = {17 + 4, 'a', 'b', 'c', 'd', 0x40 | 7 << 2, 0, 0x11, 0, 0};
  CHECK(nx_lzo_decode(before, sizeof before, out, 8) < 0);
  /* A length that is made of zeros without end. */
  uint8_t zeros[300] = {0};
  CHECK(nx_lzo_decode(zeros, sizeof zeros, out, 8) < 0);
  /* A match of two behind a match with one literal, distance 1. */
  const uint8_t two[] = {17 + 4, 'a', 'b', 'c', 'd', 0x40 | 3 << 2 | 1, 0, 'x', 0, 0, 0x11, 0, 0};
  CHECK(nx_lzo_decode(two, sizeof two, again.end - 10, 10) == 10);
  CHECK(memcmp(again.end - 10, "abcdabcxxx", 10) == 0);
}

int main(void) {
  input = guarded_new();
  output = guarded_new();
  again = guarded_new();
  TEST("any content comes back, within the bound and its buffers", comes_back);
  TEST("a stream that is cut is refused", refuses_prefixes);
  TEST("a damaged stream touches nothing outside its buffers", survives_damage);
  TEST("matches reach as far as their form allows", distances);
  TEST("streams made by hand", literal_streams);
  TAP_END();
}
