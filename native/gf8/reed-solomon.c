/*
 * With e = floor((count - degree - 1) / 2) errors at most, E (degree e, zero at every error) and Q = f * E (degree
 * e + degree) fulfil Q(x) = y * E(x) at every point. Any solution that is not zero gives f = Q / E.
 */
#include "reed-solomon.h"

#include <stdlib.h>
#include <string.h>

#include "gf8.h"

/* Finds a vector that is not zero and that all rows map to zero; false when only zero does. */
static bool kernel_vector(uint8_t *matrix, uint32_t rows, uint32_t columns, uint8_t *vector) {
  uint32_t pivots[256], rank = 0, free_column = columns;
  for (uint32_t column = 0; column < columns; column++) {
    uint32_t found = rank;
    while (found < rows && matrix[found * columns + column] == 0) found++;
    if (found >= rows) {
      if (free_column == columns) free_column = column;
      continue;
    }
    uint8_t *pivot = matrix + rank * columns, *other = matrix + found * columns;
    uint8_t scale = nx_gf8_inverse(other[column]);
    for (uint32_t i = 0; i < columns; i++) {
      uint8_t value = nx_gf8_multiply(other[i], scale);
      other[i] = pivot[i];
      pivot[i] = value;
    }
    for (uint32_t row = 0; row < rows; row++) {
      uint8_t factor = matrix[row * columns + column];
      if (row == rank || factor == 0) continue;
      for (uint32_t i = 0; i < columns; i++) matrix[row * columns + i] ^= nx_gf8_multiply(factor, pivot[i]);
    }
    pivots[rank++] = column;
  }
  if (free_column == columns) return false;
  memset(vector, 0, columns);
  vector[free_column] = 1;
  for (uint32_t i = 0; i < rank; i++) vector[pivots[i]] = matrix[i * columns + free_column];
  return true;
}

/* Divides in place: the quotient's coefficients stand in `quotient`. False when a remainder is left. */
static bool divide(uint8_t *dividend, uint32_t terms, const uint8_t *divisor, uint32_t divisor_terms,
                   uint8_t *quotient) {
  uint32_t top = divisor_terms;
  while (top > 0 && divisor[top - 1] == 0) top--;
  if (top == 0 || terms < top) return false;
  uint8_t scale = nx_gf8_inverse(divisor[top - 1]);
  memset(quotient, 0, terms);
  for (uint32_t at = terms - top + 1; at-- > 0;) {
    uint8_t factor = nx_gf8_multiply(dividend[at + top - 1], scale);
    quotient[at] = factor;
    for (uint32_t i = 0; i < top; i++) dividend[at + i] ^= nx_gf8_multiply(factor, divisor[i]);
  }
  for (uint32_t i = 0; i < terms; i++) {
    if (dividend[i] != 0) return false;
  }
  return true;
}

uint8_t nx_gf8_evaluate(const uint8_t *polynomial, uint32_t terms, uint8_t point) {
  uint8_t sum = 0;
  for (uint32_t i = terms; i-- > 0;) sum = nx_gf8_multiply(sum, point) ^ polynomial[i];
  return sum;
}

bool nx_gf8_decode_byte(const uint8_t *points, const uint8_t *values, uint32_t count, uint32_t degree,
                        uint8_t *polynomial) {
  uint32_t errors = (count - degree - 1) / 2, error_terms = errors + 1, q_terms = errors + degree + 1;
  uint32_t columns = error_terms + q_terms;
  uint8_t *matrix = malloc((size_t)count * columns);
  if (matrix == NULL) return false;
  for (uint32_t row = 0; row < count; row++) {
    uint8_t power = 1;
    for (uint32_t i = 0; i < error_terms; i++, power = nx_gf8_multiply(power, points[row])) {
      matrix[row * columns + i] = nx_gf8_multiply(values[row], power);
    }
    power = 1;
    for (uint32_t i = 0; i < q_terms; i++, power = nx_gf8_multiply(power, points[row])) {
      matrix[row * columns + error_terms + i] = power;
    }
  }
  uint8_t solution[512], quotient[512];
  bool is_found = kernel_vector(matrix, count, columns, solution);
  free(matrix);
  if (!is_found || !divide(solution + error_terms, q_terms, solution, error_terms, quotient)) return false;
  for (uint32_t i = degree + 1; i < q_terms; i++) {
    if (quotient[i] != 0) return false;
  }
  memcpy(polynomial, quotient, degree + 1);
  uint32_t agreeing = 0;
  for (uint32_t s = 0; s < count; s++) agreeing += nx_gf8_evaluate(polynomial, degree + 1, points[s]) == values[s];
  return agreeing >= (count + degree) / 2 + 1;
}
