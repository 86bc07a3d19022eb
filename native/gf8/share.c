/* A client's side: sharing what it wants, and putting answers together again. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gf8.h"
#include "reed-solomon.h"

int32_t nx_gf8_share(const uint8_t *points, uint32_t servers, uint32_t degree, uint64_t rows,
                     const uint32_t *wanted, uint32_t count, const uint8_t *coefficients, uint8_t *out) {
  uint64_t length = count * rows;
  if (degree == 0 || degree >= 256) return -EINVAL;
  for (uint32_t q = 0; q < count; q++) {
    if (wanted[q] >= rows) return -EINVAL;
  }
  /* The random coefficients are a table of `degree` rows; a share is its product with the powers of a point. */
  for (uint32_t s = 0; s < servers; s++) {
    uint8_t powers[256];
    uint8_t power = 1;
    for (uint32_t term = 0; term < degree; term++) powers[term] = power = nx_gf8_multiply(power, points[s]);
    uint8_t *share = out + s * length;
    int32_t result = nx_gf8_answer(coefficients, degree, length, length, powers, 1, share, NX_GF8_AUTO, NULL);
    if (result != 0) return result;
    for (uint32_t q = 0; q < count; q++) share[q * rows + wanted[q]] ^= 1;
  }
  return 0;
}

/* One decoding under way. */
typedef struct {
  const uint8_t *points, *answers;
  uint32_t count, degree;
  /* Answers that must agree at each byte. */
  uint32_t agreeing_min;
  uint64_t length;
  uint8_t *out, *right;
  /* One byte per position: not zero where an answer disagrees with the base. */
  uint8_t *misfits;
  bool in_base[256];
} decoding;

/* Weights of the base's answers, 0 for all others, that give the value at `at`. */
static void base_weights(const decoding *d, uint8_t at, uint8_t *weights) {
  for (uint32_t i = 0; i < d->count; i++) {
    weights[i] = d->in_base[i];
    for (uint32_t j = 0; j < d->count && d->in_base[i]; j++) {
      if (j == i || !d->in_base[j]) continue;
      uint8_t ratio = nx_gf8_multiply(at ^ d->points[j], nx_gf8_inverse(d->points[i] ^ d->points[j]));
      weights[i] = nx_gf8_multiply(weights[i], ratio);
    }
  }
}

/*
 * Fills out and misfits from position `from` on, interpolating from the first degree + 1 answers believed right. Known
 * liars are not heard any more as long as the others are enough.
 */
static void interpolate(decoding *d, uint64_t from) {
  uint32_t found = 0, believed = 0;
  for (uint32_t i = 0; i < d->count; i++) {
    d->in_base[i] = d->right[i] && found <= d->degree;
    found += d->in_base[i];
    believed += d->right[i];
  }
  bool are_liars_heard = believed < d->agreeing_min;
  const nx_gf8_kernel *kernel = nx_gf8_kernel_of(NX_GF8_AUTO);
  uint64_t rest = d->length - from;
  uint8_t weights[256];
  memset(d->out + from, 0, rest);
  base_weights(d, 0, weights);
  kernel->single_sum(d->answers + from, d->count, rest, d->length, weights, d->out + from);
  memset(d->misfits + from, 0, rest);
  uint8_t *residual = d->misfits + d->length;
  for (uint32_t s = 0; s < d->count; s++) {
    if (d->in_base[s] || (!d->right[s] && !are_liars_heard)) continue;
    memcpy(residual, d->answers + s * d->length + from, rest);
    base_weights(d, d->points[s], weights);
    kernel->single_sum(d->answers + from, d->count, rest, d->length, weights, residual);
    for (uint64_t i = 0; i < rest; i++) d->misfits[from + i] |= residual[i];
  }
}

static int32_t correct(decoding *d) {
  interpolate(d, 0);
  for (uint64_t at = 0; at < d->length; at++) {
    if (d->misfits[at] == 0) continue;
    uint8_t values[256], polynomial[256];
    for (uint32_t s = 0; s < d->count; s++) values[s] = d->answers[s * d->length + at];
    if (!nx_gf8_decode_byte(d->points, values, d->count, d->degree, polynomial)) return -EBADMSG;
    d->out[at] = polynomial[0];
    bool is_news = false;
    uint32_t believed = 0;
    for (uint32_t s = 0; s < d->count; s++) {
      if (nx_gf8_evaluate(polynomial, d->degree + 1, d->points[s]) != values[s]) {
        is_news |= d->right[s];
        d->right[s] = 0;
      }
      believed += d->right[s];
    }
    /* Without the liar, what follows fits at once. */
    if (is_news && believed > d->degree) interpolate(d, at + 1);
  }
  return 0;
}

int32_t nx_gf8_decode(const uint8_t *points, uint32_t count, uint32_t degree, uint64_t length,
                      const uint8_t *answers, uint8_t *out, uint8_t *right) {
  if (count > 255 || count < degree + 1 || length > UINT32_MAX) return -EINVAL;
  bool seen[256] = {false};
  for (uint32_t s = 0; s < count; s++) {
    if (seen[points[s]]) return -EINVAL;
    seen[points[s]] = true;
  }
  memset(right, 1, count);
  uint8_t *misfits = malloc(2 * length + 1);
  if (misfits == NULL) return -ENOMEM;
  uint32_t agreeing_min = (count + degree) / 2 + 1;
  decoding d = {points, answers, count, degree, agreeing_min, length, out, right, misfits, {false}};
  int32_t result = correct(&d);
  free(misfits);
  return result;
}
