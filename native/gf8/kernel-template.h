/*
 * The two sums of a vector kernel, written once. A kernel includes this file after it has defined
 *
 *   VECTOR, VECTOR_BYTES          a vector of bytes
 *   LOAD(p) STORE(p, v) ZERO()    unaligned
 *   XOR(a, b)
 *   COEFFICIENT, COEFFICIENT_OF(byte)   a coefficient, ready to multiply with
 *   OPERAND, OPERAND_OF(vector)         bytes of a row, ready to be multiplied
 *   ADD_PRODUCT(sum, coefficient, operand)   sum ^ coefficient * operand
 *   GROUP, WIDTH                  queries and vectors per step of group_sum
 *   SINGLE_ROWS                   rows that single_sum reads at once
 *   SETUP                         declarations that COEFFICIENT_OF needs, or nothing
 *   KERNEL_TARGET                 the function attribute that allows the instructions
 *
 * The last bytes of a row, fewer than a vector, are worked on in a vector of their own that ends with the row; a row
 * that is shorter than a vector is copied first. So nothing outside the rows is read.
 */

/* The sum for one query over `rows` rows at `column`, VECTOR_BYTES wide, of rows of which `have` bytes may be read. */
KERNEL_TARGET static inline VECTOR column_sum(const uint8_t *column, uint64_t rows, uint64_t stride, uint64_t have,
                                              const uint8_t *coefficients, uint64_t step) {
  SETUP
  VECTOR sum = ZERO();
  uint8_t copy[VECTOR_BYTES] = {0};
  for (uint64_t row = 0; row < rows; row++) {
    const uint8_t *at = column + row * stride;
    if (have < VECTOR_BYTES) {
      memcpy(copy, at, have);
      at = copy;
    }
    sum = ADD_PRODUCT(sum, COEFFICIENT_OF(coefficients[row * step]), OPERAND_OF(LOAD(at)));
  }
  return sum;
}

/* Adds the sum of the last `tail` < VECTOR_BYTES bytes of the rows. */
KERNEL_TARGET static void tail_sum(const uint8_t *table, uint64_t rows, uint64_t row_len, uint64_t stride,
                                   uint64_t tail, const uint8_t *coefficients, uint64_t step, uint8_t *out) {
  uint64_t have = row_len < VECTOR_BYTES ? row_len : VECTOR_BYTES;
  uint8_t bytes[VECTOR_BYTES];
  STORE(bytes, column_sum(table + row_len - have, rows, stride, have, coefficients, step));
  for (uint64_t i = 0; i < tail; i++) out[row_len - tail + i] ^= bytes[have - tail + i];
}

/* `width` vectors of all rows for the whole group. */
KERNEL_TARGET static inline __attribute__((always_inline)) void
group_columns(const uint8_t *column, uint64_t rows, uint64_t stride, const uint8_t *coefficients, uint32_t count,
              uint8_t *out, uint64_t out_stride, const int width) {
  SETUP
  VECTOR sums[GROUP][WIDTH];
  for (int k = 0; k < GROUP; k++) {
    for (int w = 0; w < width; w++) sums[k][w] = ZERO();
  }
  for (uint64_t row = 0; row < rows; row++) {
    OPERAND operands[WIDTH];
    for (int w = 0; w < width; w++) operands[w] = OPERAND_OF(LOAD(column + row * stride + w * VECTOR_BYTES));
#pragma GCC unroll 8
    for (int k = 0; k < GROUP; k++) {
      COEFFICIENT coefficient = COEFFICIENT_OF(coefficients[row * GROUP + (uint64_t)k]);
#pragma GCC unroll 4
      for (int w = 0; w < width; w++) sums[k][w] = ADD_PRODUCT(sums[k][w], coefficient, operands[w]);
    }
  }
#pragma GCC unroll 8
  for (uint32_t k = 0; k < GROUP; k++) {
    if (k >= count) break;
    for (int w = 0; w < width; w++) {
      uint8_t *to = out + k * out_stride + w * VECTOR_BYTES;
      STORE(to, XOR(LOAD(to), sums[k][w]));
    }
  }
}

KERNEL_TARGET static void group_sum(const uint8_t *table, uint64_t rows, uint64_t row_len, uint64_t stride,
                                    const uint8_t *coefficients, uint32_t count, uint8_t *out,
                                    uint64_t out_stride) {
  uint64_t at = 0;
  for (; at + WIDTH * VECTOR_BYTES <= row_len; at += WIDTH * VECTOR_BYTES) {
    group_columns(table + at, rows, stride, coefficients, count, out + at, out_stride, WIDTH);
  }
  for (; at + VECTOR_BYTES <= row_len; at += VECTOR_BYTES) {
    group_columns(table + at, rows, stride, coefficients, count, out + at, out_stride, 1);
  }
  if (at == row_len) return;
  for (uint32_t k = 0; k < count; k++) {
    tail_sum(table, rows, row_len, stride, row_len - at, coefficients + k, GROUP, out + k * out_stride);
  }
}

KERNEL_TARGET static void single_sum(const uint8_t *table, uint64_t rows, uint64_t row_len, uint64_t stride,
                                     const uint8_t *coefficients, uint8_t *out) {
  SETUP
  uint64_t whole = row_len - row_len % VECTOR_BYTES, row = 0;
  for (; row + SINGLE_ROWS <= rows; row += SINGLE_ROWS) {
    COEFFICIENT factors[SINGLE_ROWS];
    for (int i = 0; i < SINGLE_ROWS; i++) factors[i] = COEFFICIENT_OF(coefficients[row + (uint64_t)i]);
    const uint8_t *base = table + row * stride;
    for (uint64_t at = 0; at < whole; at += VECTOR_BYTES) {
      VECTOR sum = LOAD(out + at);
#pragma GCC unroll 8
      for (int i = 0; i < SINGLE_ROWS; i++) {
        sum = ADD_PRODUCT(sum, factors[i], OPERAND_OF(LOAD(base + (uint64_t)i * stride + at)));
      }
      STORE(out + at, sum);
    }
  }
  for (; row < rows; row++) {
    COEFFICIENT factor = COEFFICIENT_OF(coefficients[row]);
    for (uint64_t at = 0; at < whole; at += VECTOR_BYTES) {
      STORE(out + at, ADD_PRODUCT(LOAD(out + at), factor, OPERAND_OF(LOAD(table + row * stride + at))));
    }
  }
  if (whole < row_len) tail_sum(table, rows, row_len, stride, row_len - whole, coefficients, 1, out);
}
