/*
 * Reed-Solomon decoding of one byte over GF(2^8) by Berlekamp and Welch: the polynomial of a given degree that agrees
 * with at least floor((count + degree) / 2) + 1 of the values. There is at most one.
 */
#ifndef NX_GF8_REED_SOLOMON_H
#define NX_GF8_REED_SOLOMON_H
#include <stdbool.h>
#include <stdint.h>

/* Writes degree + 1 coefficients, lowest first. `count` is at most 255. */
bool nx_gf8_decode_byte(const uint8_t *points, const uint8_t *values, uint32_t count, uint32_t degree,
                        uint8_t *polynomial);

uint8_t nx_gf8_evaluate(const uint8_t *polynomial, uint32_t terms, uint8_t point);

#endif
