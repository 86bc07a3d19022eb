/*
 * Numbers as Redis reads and prints them. Reading is strict: no blanks, no plus sign, no leading zeros, so
 * that a number that was read prints as the same bytes.
 */
#ifndef NX_RESP_NUMBER_H
#define NX_RESP_NUMBER_H
#include <stdbool.h>
#include <stdint.h>
#include "store.h"

#define NX_INTEGER_TEXT_MAX 20u
/* The longest long double in plain notation has 4933 digits before the point and 17 after it. */
#define NX_FLOAT_TEXT_MAX 5120u

bool nx_integer_read(nx_slice text, int64_t *out);
/* `out` has room for NX_INTEGER_TEXT_MAX bytes; returns how many were written. */
uint32_t nx_integer_print(int64_t value, char *out);

/* Accepts what strtold accepts (also hexadecimal and infinity), without blanks around it and never NaN. */
bool nx_float_read(nx_slice text, long double *out);
/* Plain notation with up to 17 digits after the point, trailing zeros removed. `out` has room for
 * NX_FLOAT_TEXT_MAX bytes; returns how many were written. */
uint32_t nx_float_print(long double value, char *out);

#endif
