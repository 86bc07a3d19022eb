/*
 * Products, sharing and decoding over GF(2^8): every kernel of this CPU equals the portable one on random shapes, the
 * portable one equals the definition, nothing is read or written outside, and wrong answers are corrected up to the bound.
 */
#include "gf8/gf8.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tap.h"

#define SHAPES_DEFAULT 1000

static uint64_t seed = 1;
static uint32_t below(uint32_t limit) { return (uint32_t)(test_random(&seed) % limit); }

/* From 1 to limit, every order of magnitude as often as any other. */
static uint32_t size_up_to(uint32_t limit) {
  uint32_t bits = 1 + below(32 - (uint32_t)__builtin_clz(limit));
  uint32_t size = 1 + below(1u << bits);
  return size > limit ? limit : size;
}

/* `length` random bytes that end where memory ends: a byte too far is a fault, with or without a sanitizer. */
typedef struct {
  uint8_t *bytes, *map;
  uint64_t map_length;
} guarded;

static guarded guard(uint64_t length, int is_random) {
  uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), body = (length + page - 1) / page * page;
  guarded g = {0};
  g.map_length = body + page;
  g.map = mmap(NULL, g.map_length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (g.map == MAP_FAILED) abort();
  mprotect(g.map + body, page, PROT_NONE);
  g.bytes = g.map + body - length;
  for (uint64_t i = 0; is_random && i < length; i += 8) {
    uint64_t word = test_random(&seed);
    memcpy(g.bytes + i, &word, length - i < 8 ? length - i : 8);
  }
  return g;
}

static void release(guarded g) { munmap(g.map, g.map_length); }

static int shapes(void) {
  const char *text = getenv("GF8_SHAPES");
  return text == NULL ? SHAPES_DEFAULT : atoi(text);
}

static void kernels_agree(void) {
  for (int i = 0; i < shapes(); i++) {
    uint32_t rows = size_up_to(3000), row_len = size_up_to(5000), count = size_up_to(128);
    uint32_t stride = row_len + (below(2) ? 0 : below(70));
    guarded table = guard((uint64_t)(rows - 1) * stride + row_len, 1), queries = guard((uint64_t)rows * count, 1);
    guarded wanted = guard((uint64_t)row_len * count, 0), got = guard((uint64_t)row_len * count, 1);
    CHECK(nx_gf8_answer(table.bytes, rows, row_len, stride, queries.bytes, count, wanted.bytes, NX_GF8_PORTABLE, NULL) == 0);
    for (uint32_t kernel = NX_GF8_AUTO; kernel < NX_GF8_PORTABLE; kernel++) {
      if (nx_gf8_kernel_of(kernel) == NULL) continue;
      CHECK(nx_gf8_answer(table.bytes, rows, row_len, stride, queries.bytes, count, got.bytes, kernel, NULL) == 0);
      CHECK(memcmp(wanted.bytes, got.bytes, (uint64_t)row_len * count) == 0);
    }
    release(table), release(queries), release(wanted), release(got);
  }
}

static void definition_holds(void) {
  for (int i = 0; i < 50; i++) {
    uint32_t rows = size_up_to(40), row_len = size_up_to(60), count = size_up_to(12);
    guarded table = guard((uint64_t)rows * row_len, 1), queries = guard((uint64_t)rows * count, 1);
    guarded out = guard((uint64_t)row_len * count, 1);
    nx_gf8_answer(table.bytes, rows, row_len, row_len, queries.bytes, count, out.bytes, NX_GF8_PORTABLE, NULL);
    for (uint32_t q = 0; q < count; q++) {
      for (uint32_t c = 0; c < row_len; c++) {
        uint8_t sum = 0;
        for (uint32_t r = 0; r < rows; r++) {
          sum ^= nx_gf8_multiply(queries.bytes[q * rows + r], table.bytes[r * row_len + c]);
        }
        CHECK(out.bytes[q * row_len + c] == sum);
      }
    }
    release(table), release(queries), release(out);
  }
}

static void field_is_that_of_aes(void) {
  CHECK(nx_gf8_multiply(0x57, 0x83) == 0xc1);
  for (uint32_t a = 1; a < 256; a++) CHECK(nx_gf8_multiply((uint8_t)a, nx_gf8_inverse((uint8_t)a)) == 1);
}

static void bits_select_rows(void) {
  uint8_t table[3 * 5], query = 0x05, out[5];
  for (int i = 0; i < 15; i++) table[i] = (uint8_t)test_random(&seed);
  CHECK(nx_gf8_answer_bits(table, 3, 5, 5, &query, 1, out, NX_GF8_AUTO, NULL) == 0);
  for (int c = 0; c < 5; c++) CHECK(out[c] == (table[c] ^ table[10 + c]));
}

/* Shares a query for one of `rows` rows, answers it, spoils `errors` of the answers, decodes. */
static void round_trip(uint32_t servers, uint32_t degree, uint32_t errors, int is_expected) {
  uint32_t rows = size_up_to(50), row_len = size_up_to(300), wanted = below(rows);
  uint8_t points[255], right[255];
  for (uint32_t s = 0; s < servers; s++) points[s] = (uint8_t)(s * 7 % 255 + 1);
  guarded table = guard((uint64_t)rows * row_len, 1), coefficients = guard((uint64_t)degree * rows, 1);
  guarded shares = guard((uint64_t)servers * rows, 0), answers = guard((uint64_t)servers * row_len, 0);
  guarded row = guard(row_len, 1);
  CHECK(nx_gf8_share(points, servers, degree, rows, &wanted, 1, coefficients.bytes, shares.bytes) == 0);
  for (uint32_t s = 0; s < servers; s++) {
    nx_gf8_answer(table.bytes, rows, row_len, row_len, shares.bytes + s * rows, 1, answers.bytes + s * row_len, 0, NULL);
  }
  for (uint32_t s = 0; s < errors; s++) {
    for (uint32_t c = 0; c < row_len; c++) answers.bytes[s * row_len + c] ^= (uint8_t)(1 + below(255));
  }
  int32_t result = nx_gf8_decode(points, servers, degree, row_len, answers.bytes, row.bytes, right);
  if (is_expected) {
    CHECK(result == 0);
    CHECK(memcmp(row.bytes, table.bytes + (uint64_t)wanted * row_len, row_len) == 0);
    for (uint32_t s = 0; s < servers; s++) CHECK(right[s] == (s >= errors));
  } else {
    CHECK(result == -EBADMSG);
  }
  release(table), release(coefficients), release(shares), release(answers), release(row);
}

static void liars_are_corrected_up_to_the_bound(void) {
  for (uint32_t servers = 2; servers <= 14; servers++) {
    for (uint32_t degree = 1; degree < servers; degree++) {
      uint32_t bound = (servers - degree - 1) / 2;
      for (uint32_t errors = 0; errors <= bound; errors++) round_trip(servers, degree, errors, 1);
    }
  }
  round_trip(255, 100, 77, 1);
}

static void one_liar_of_three_is_detected(void) {
  for (int i = 0; i < 100; i++) round_trip(3, 1, 1, 0);
}

static void arguments_are_checked(void) {
  uint8_t bytes[64] = {0}, points[3] = {1, 2, 2}, right[3];
  uint32_t wanted = 4;
  CHECK(nx_gf8_answer(bytes, 1, 8, 7, bytes, 1, bytes + 32, NX_GF8_AUTO, NULL) == -EINVAL);
  CHECK(nx_gf8_answer(bytes, 1, 8, 8, bytes, 1, bytes + 32, 99, NULL) == -EINVAL);
  CHECK(nx_gf8_share(points, 2, 1, 4, &wanted, 1, bytes, bytes + 16) == -EINVAL);
  CHECK(nx_gf8_share(points, 2, 0, 5, &wanted, 1, bytes, bytes + 16) == -EINVAL);
  CHECK(nx_gf8_decode(points, 3, 1, 4, bytes, bytes + 32, right) == -EINVAL);
  CHECK(nx_gf8_decode(points, 2, 2, 4, bytes, bytes + 32, right) == -EINVAL);
}

static void cancelling_stops(void) {
  uint8_t bytes[64] = {0};
  volatile int32_t cancel = 1;
  CHECK(nx_gf8_answer(bytes, 4, 8, 8, bytes, 1, bytes + 32, NX_GF8_AUTO, &cancel) == -ECANCELED);
  CHECK(nx_gf8_answer(bytes, 4, 4, 4, bytes, 4, bytes + 32, NX_GF8_AUTO, &cancel) == -ECANCELED);
}

static void print_kernels(void) {
  static const char *const names[NX_GF8_KERNELS] = {"auto", "gfni512", "gfni256", "avx2", "neon", "portable"};
  printf("# kernels:");
  for (uint32_t kernel = 1; kernel < NX_GF8_KERNELS; kernel++) {
    if (nx_gf8_kernel_of(kernel) != NULL) printf(" %s", names[kernel]);
  }
  puts("");
}

int main(void) {
  print_kernels();
  TEST("the field is that of AES", field_is_that_of_aes);
  TEST("the portable kernel follows the definition", definition_holds);
  TEST("all kernels of this CPU agree on random shapes", kernels_agree);
  TEST("queries of bits select rows", bits_select_rows);
  TEST("liars are corrected up to the bound, and named", liars_are_corrected_up_to_the_bound);
  TEST("one liar of three is detected", one_liar_of_three_is_detected);
  TEST("arguments are checked", arguments_are_checked);
  TEST("cancelling stops the work", cancelling_stops);
  TAP_END();
}
