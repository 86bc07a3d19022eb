/*
 * Answers: the table passes by in stretches that fit the second-level cache, the queries in groups of a kernel.
 *
 * A group reads its stretch column by column, a few bytes of every row at a time, which the processor does not foresee:
 * so a stretch is fetched from front to back before the first group comes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../bytes.h"
#include "gf8.h"

/* Bytes of the table that are worked on for all queries before the next ones are touched. */
#define STRETCH_BYTES (128u << 10)
/* Rows of a stretch: their coefficients for one group must stay in the first-level cache. */
#define STRETCH_ROWS_MAX 1024u
#define STRETCH_ROWS_MIN 64u
/* From this many queries on a group is faster than one after the other. */
#define GROUP_MIN 3u
/* Rows of a single query between two looks at `cancel`. */
#define SINGLE_STRETCH_BYTES (4u << 20)

const nx_gf8_kernel *nx_gf8_kernel_of(uint32_t kernel) {
  uint32_t there = nx_gf8_kernels();
  static const nx_gf8_kernel *const all[NX_GF8_KERNELS] = {NULL,           &nx_gf8_gfni512, &nx_gf8_gfni256,
                                                           &nx_gf8_avx2,   &nx_gf8_neon,    &nx_gf8_portable};
  if (kernel == NX_GF8_AUTO) kernel = (uint32_t)__builtin_ctz(there);
  return kernel < NX_GF8_KERNELS && there >> kernel & 1 ? all[kernel] : NULL;
}

uint32_t nx_gf8_kernels(void) {
  uint32_t there = 1u << NX_GF8_PORTABLE;
#if defined(__x86_64__)
  bool has_gfni = __builtin_cpu_supports("gfni"), has_avx2 = __builtin_cpu_supports("avx2");
  bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512vl");
  if (has_gfni && has_avx512) there |= 1u << NX_GF8_GFNI512;
  if (has_gfni && has_avx2) there |= 1u << NX_GF8_GFNI256;
  if (has_avx2) there |= 1u << NX_GF8_AVX2;
#elif defined(__aarch64__)
  there |= 1u << NX_GF8_NEON;
#endif
  return there;
}

static bool is_cancelled(const volatile int32_t *cancel) { return cancel != NULL && *cancel != 0; }

static uint64_t stretch_rows(uint64_t stride, uint64_t bytes, uint64_t rows_max) {
  uint64_t rows = bytes / (stride == 0 ? 1 : stride);
  if (rows < STRETCH_ROWS_MIN) rows = STRETCH_ROWS_MIN;
  return rows > rows_max ? rows_max : rows;
}

static int32_t answer_singly(const nx_gf8_kernel *kernel, const uint8_t *table, uint64_t rows, uint64_t row_len,
                             uint64_t stride, const uint8_t *queries, uint32_t count, uint8_t *out,
                             const volatile int32_t *cancel) {
  uint64_t bytes = count == 1 ? SINGLE_STRETCH_BYTES : STRETCH_BYTES;
  uint64_t step = stretch_rows(stride, bytes, UINT64_MAX);
  for (uint64_t row = 0; row < rows; row += step) {
    if (is_cancelled(cancel)) return -ECANCELED;
    uint64_t stretch = rows - row < step ? rows - row : step;
    for (uint32_t q = 0; q < count; q++) {
      kernel->single_sum(table + row * stride, stretch, row_len, stride, queries + q * rows + row, out + q * row_len);
    }
  }
  return 0;
}

/* The coefficients of up to `group` queries for a stretch, row by row; those of missing queries are zero. */
static void transpose(const uint8_t *queries, uint64_t rows, uint64_t stretch, uint32_t count, uint32_t group,
                      uint8_t *to) {
  if (count < group) memset(to, 0, stretch * group);
  for (uint32_t k = 0; k < count; k++) {
    for (uint64_t row = 0; row < stretch; row++) to[row * group + k] = queries[k * rows + row];
  }
}

/* Brings bytes that are about to be read in another order into the cache, at the speed of the memory. */
static void fetch(const uint8_t *bytes, uint64_t length) {
  for (uint64_t at = 0; at < length; at += 64) (void)*(const volatile uint8_t *)(bytes + at);
}

int32_t nx_gf8_answer(const uint8_t *table, uint64_t rows, uint64_t row_len, uint64_t stride,
                      const uint8_t *queries, uint32_t count, uint8_t *out, uint32_t which,
                      const volatile int32_t *cancel) {
  const nx_gf8_kernel *kernel = nx_gf8_kernel_of(which);
  if (kernel == NULL || stride < row_len) return -EINVAL;
  if (count == 0 || row_len == 0) return 0;
  memset(out, 0, count * row_len);
  if (count < GROUP_MIN) {
    return answer_singly(kernel, table, rows, row_len, stride, queries, count, out, cancel);
  }
  uint8_t coefficients[STRETCH_ROWS_MAX * NX_GF8_GROUP_MAX];
  uint64_t step = stretch_rows(stride, STRETCH_BYTES, STRETCH_ROWS_MAX);
  for (uint64_t row = 0; row < rows; row += step) {
    uint64_t stretch = rows - row < step ? rows - row : step;
    fetch(table + row * stride, (stretch - 1) * stride + row_len);
    for (uint32_t q = 0; q < count; q += kernel->group) {
      if (is_cancelled(cancel)) return -ECANCELED;
      uint32_t group = count - q < kernel->group ? count - q : kernel->group;
      transpose(queries + q * rows + row, rows, stretch, group, kernel->group, coefficients);
      kernel->group_sum(table + row * stride, stretch, row_len, stride, coefficients, group, out + q * row_len, row_len);
    }
  }
  return 0;
}

/* Zero and one are coefficients like all others, so bits are spread to bytes. */
int32_t nx_gf8_answer_bits(const uint8_t *table, uint64_t rows, uint64_t row_len, uint64_t stride,
                           const uint8_t *queries, uint32_t count, uint8_t *out, uint32_t kernel,
                           const volatile int32_t *cancel) {
  uint64_t query_bytes = (rows + 7) / 8;
  uint8_t *bytes = malloc(count * rows + 1);
  if (bytes == NULL) return -ENOMEM;
  for (uint64_t q = 0; q < count; q++) {
    for (uint64_t row = 0; row < rows; row++) {
      bytes[q * rows + row] = queries[q * query_bytes + row / 8] >> row % 8 & 1;
    }
  }
  int32_t result = nx_gf8_answer(table, rows, row_len, stride, bytes, count, out, kernel, cancel);
  free(bytes);
  return result;
}

uint64_t nx_gf8_read(const uint8_t *bytes, uint64_t length) {
  uint64_t sums[8] = {0}, at = 0;
  for (; at + 64 <= length; at += 64) {
    for (int i = 0; i < 8; i++) sums[i] += nx_load64(bytes + at + 8 * i);
  }
  for (; at < length; at++) sums[0] += bytes[at];
  for (int i = 1; i < 8; i++) sums[0] += sums[i];
  return sums[0];
}
