/* See number.h. Printing a float relies on the C locale, which nothing in the process changes. */
#include "number.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "nx.h"

bool nx_integer_read(nx_slice text, int64_t *out) {
  if (text.length == 0 || text.length > NX_INTEGER_TEXT_MAX) return false;
  const uint8_t *at = text.data;
  const uint8_t *end = text.data + text.length;
  if (text.length == 1 && at[0] == '0') {
    *out = 0;
    return true;
  }
  bool negative = at[0] == '-';
  if (negative) at++;
  if (at == end || *at < '1' || *at > '9') return false;
  uint64_t limit = negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
  uint64_t value = 0;
  for (; at < end; at++) {
    if (*at < '0' || *at > '9') return false;
    uint64_t digit = (uint64_t)(*at - '0');
    if (value > (limit - digit) / 10) return false;
    value = value * 10 + digit;
  }
  *out = negative ? (int64_t)(0 - value) : (int64_t)value;
  return true;
}

uint32_t nx_integer_print(int64_t value, char *out) {
  char text[NX_INTEGER_TEXT_MAX];
  char *const end = text + sizeof text, *at = end;
  uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
  do {
    *--at = (char)('0' + rest % 10);
    rest /= 10;
  } while (rest != 0);
  if (value < 0) *--at = '-';
  memcpy(out, at, (size_t)(end - at));
  return (uint32_t)(end - at);
}

bool nx_float_read(nx_slice text, long double *out) {
  char copy[NX_FLOAT_TEXT_MAX];
  if (text.length == 0 || text.length >= sizeof copy) return false;
  memcpy(copy, text.data, text.length);
  copy[text.length] = 0;
  if (isspace((unsigned char)copy[0])) return false;
  char *end = NULL;
  errno = 0;
  long double value = strtold(copy, &end);
  if ((uint64_t)(end - copy) != text.length || isnan(value) || errno == EINVAL) return false;
  if (errno == ERANGE && (isinf(value) || fpclassify(value) == FP_ZERO)) return false;
  *out = value;
  return true;
}

uint32_t nx_float_print(long double value, char *out) {
  int printed = snprintf(out, NX_FLOAT_TEXT_MAX, "%.17Lf", value);
  NX_ASSERT(printed > 0 && (uint32_t)printed < NX_FLOAT_TEXT_MAX);
  uint32_t length = (uint32_t)printed;
  if (memchr(out, '.', length) != NULL) {
    while (out[length - 1] == '0') length--;
    if (out[length - 1] == '.') length--;
  }
  if (length == 2 && out[0] == '-' && out[1] == '0') {
    out[0] = '0';
    length = 1;
  }
  return length;
}
