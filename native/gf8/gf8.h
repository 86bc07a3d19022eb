/*
 * Products of vectors with a byte matrix over GF(2^8), reduction polynomial x^8 + x^4 + x^3 + x + 1 (0x11B): the
 * arithmetic of private information retrieval after Goldberg (2007). A database is a table of `rows` rows; a query has
 * one byte per row; its answer is the sum of query[i] * row[i].
 *
 * Large batches are matrix products and limited by multiplication: queries are taken in groups whose sums stay in
 * registers while a stretch of rows, small enough for the second-level cache, passes by. A single query is limited by
 * memory, and reads several rows at once. Which kernel runs is decided by the CPU at run time: GFNI with 512 or 256
 * bits, AVX2 or NEON with tables of nibbles, else plain C.
 *
 * The time a product takes depends on sizes only, never on bytes of queries or table.
 */
#ifndef NX_GF8_H
#define NX_GF8_H
#include <stdbool.h>
#include <stdint.h>

#include "../nx.h"

/* Kernels, best first. A CPU may lack any of them but the last. */
enum { NX_GF8_AUTO, NX_GF8_GFNI512, NX_GF8_GFNI256, NX_GF8_AVX2, NX_GF8_NEON, NX_GF8_PORTABLE, NX_GF8_KERNELS };

/* Queries that a kernel takes at once, at most. */
#define NX_GF8_GROUP_MAX 8u

typedef struct {
  uint32_t group;
  /*
   * Adds to out[k * out_stride .. + row_len), for each k < count <= group, the sum over the rows of coefficients[row *
   * group + k] * row.
   */
  void (*group_sum)(const uint8_t *table, uint64_t rows, uint64_t row_len, uint64_t stride,
                    const uint8_t *coefficients, uint32_t count, uint8_t *out, uint64_t out_stride);
  /* The same for one query, whose coefficients stand behind each other. */
  void (*single_sum)(const uint8_t *table, uint64_t rows, uint64_t row_len, uint64_t stride,
                     const uint8_t *coefficients, uint8_t *out);
} nx_gf8_kernel;

/* The kernel, or NULL when this CPU (or this build) does not have it. AUTO gives the best. */
const nx_gf8_kernel *nx_gf8_kernel_of(uint32_t kernel);

extern const nx_gf8_kernel nx_gf8_portable, nx_gf8_gfni512, nx_gf8_gfni256, nx_gf8_avx2, nx_gf8_neon;

/* a * b. */
uint8_t nx_gf8_multiply(uint8_t a, uint8_t b);
/* The inverse of an element that is not zero. */
uint8_t nx_gf8_inverse(uint8_t a);
/* 256 x 256 products; row a begins at a * 256. */
const uint8_t *nx_gf8_products(void);
/* For each element 16 products with 0..15, then 16 with 0x00, 0x10 .. 0xf0. */
const uint8_t *nx_gf8_nibble_products(void);

/*
 * out[q * row_len ..] = answer to query q, for `count` queries of `rows` bytes each, behind each other. `stride` is the
 * distance between rows of the table. Looks at *cancel (may be NULL) now and then: when it is not 0, stops with
 * -ECANCELED and `out` is worthless. -EINVAL for a stride below row_len or a kernel that is not there.
 */
NX_API int32_t nx_gf8_answer(const uint8_t *table, uint64_t rows, uint64_t row_len, uint64_t stride,
                             const uint8_t *queries, uint32_t count, uint8_t *out, uint32_t kernel,
                             const volatile int32_t *cancel);

/* As above with one bit per row, lowest bit of each byte first; a query has (rows + 7) / 8 bytes. */
NX_API int32_t nx_gf8_answer_bits(const uint8_t *table, uint64_t rows, uint64_t row_len, uint64_t stride,
                                  const uint8_t *queries, uint32_t count, uint8_t *out, uint32_t kernel,
                                  const volatile int32_t *cancel);

/*
 * Shares of `count` unit vectors of `rows` bytes, whose one stands at wanted[q], for `servers` points: out[(s * count +
 * q) * rows ..]. The polynomials have degree `degree`; `coefficients` are degree * count * rows random bytes.
 */
NX_API int32_t nx_gf8_share(const uint8_t *points, uint32_t servers, uint32_t degree, uint64_t rows,
                            const uint32_t *wanted, uint32_t count, const uint8_t *coefficients,
                            uint8_t *out);

/*
 * The value at zero of the polynomials of degree `degree` through `count` answers of `length` bytes (behind each other)
 * at `points`, into `out`; right[s] says whether answer s lies on them everywhere. Wrong answers are corrected as
 * long as floor((count + degree) / 2) + 1 agree at each byte; -EBADMSG when fewer do, -EINVAL for bad arguments.
 */
NX_API int32_t nx_gf8_decode(const uint8_t *points, uint32_t count, uint32_t degree, uint64_t length,
                             const uint8_t *answers, uint8_t *out, uint8_t *right);

/* Reads all bytes once and returns a value that depends on each: what a benchmark compares a scan with. */
NX_API uint64_t nx_gf8_read(const uint8_t *bytes, uint64_t length);

/* Bit k is set when kernel k (as numbered above) runs on this CPU. */
NX_API uint32_t nx_gf8_kernels(void);

#endif
