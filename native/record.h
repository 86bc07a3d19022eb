/*
 * A record in memory, one slab block:
 *
 *   offset  bytes  field
 *        0      8  header: bits 0-31 value length, 32-51 stored key length, 52 compact key, 53 expiring
 *        8      8  expires at, milliseconds since 1970          (expiring records only)
 *       16      4  position in the channel's expiry heap        (expiring records only)
 *  8 or 20      k  key: its bytes, or 8 bytes for a key of exactly 16 lower-case hex digits (compact)
 *        …      v  value
 *
 * Invariant: a key has one stored form (a key that can be compact is), so stored bytes compare as keys do.
 */
#ifndef NX_RECORD_H
#define NX_RECORD_H
#include <stdbool.h>
#include <stdint.h>
#include "bytes.h"
#include "siphash.h"
#include "store.h"

typedef uint8_t nx_rec;

#define NX_REC_HEADER_BYTES 8u
#define NX_REC_EXPIRY_BYTES 12u
#define NX_REC_COMPACT (UINT64_C(1) << 52)
#define NX_REC_EXPIRING (UINT64_C(1) << 53)
#define NX_HEX_KEY_BYTES 16u

/* A key on its way to a table. `data` points at the caller's bytes or at `compact_bytes` of this struct. */
typedef struct {
  const uint8_t *data;
  uint32_t length;
  bool is_compact;
  uint8_t compact_bytes[8];
  uint64_t hash;
} nx_key;

/* Eight hex digits, first digit most significant; false unless all are 0-9 or a-f. */
static inline bool nx_hex8(uint64_t text, uint32_t *out) {
  const uint64_t ones = UINT64_C(0x0101010101010101);
  if (text & (ones << 7)) return false;
  uint64_t letters = (text >> 6) & ones;
  uint64_t digits = (text & (ones * 15)) + letters * 9;
  /* The character that each digit would have; a letter must give 10..15, a figure 0..9. */
  if (digits + ones * '0' + letters * 39 != text || (digits & (ones << 4)) != 0) return false;
  if ((((digits + ones * 6) >> 4) & ones) != letters) return false;
  digits = __builtin_bswap64(digits);
  digits = (digits | digits >> 4) & UINT64_C(0x00ff00ff00ff00ff);
  digits = (digits | digits >> 8) & UINT64_C(0x0000ffff0000ffff);
  *out = (uint32_t)(digits | digits >> 16);
  return true;
}

static inline void nx_key_make(nx_key *key, nx_slice text, nx_seed seed) {
  uint32_t high, low;
  key->is_compact = text.length == NX_HEX_KEY_BYTES && nx_hex8(nx_load64(text.data), &high) &&
                    nx_hex8(nx_load64(text.data + 8), &low);
  if (key->is_compact) {
    nx_store64(key->compact_bytes, (uint64_t)high << 32 | low);
    key->data = key->compact_bytes;
    key->length = 8;
  } else {
    key->data = text.data;
    key->length = (uint32_t)text.length;
  }
  key->hash = nx_siphash(seed, key->data, key->length);
}

/* The length of the key as people write it. */
static inline uint64_t nx_key_text_length(uint32_t stored_length, bool is_compact) {
  return is_compact ? NX_HEX_KEY_BYTES : stored_length;
}

static inline uint64_t nx_rec_header(const nx_rec *rec) { return nx_load64(rec); }
static inline uint32_t nx_rec_value_length(const nx_rec *rec) { return nx_load32(rec); }
static inline uint32_t nx_rec_key_length(const nx_rec *rec) {
  return (uint32_t)(nx_rec_header(rec) >> 32) & 0xfffff;
}
static inline bool nx_rec_is_compact(const nx_rec *rec) { return (nx_rec_header(rec) & NX_REC_COMPACT) != 0; }
static inline bool nx_rec_is_expiring(const nx_rec *rec) {
  return (nx_rec_header(rec) & NX_REC_EXPIRING) != 0;
}

static inline uint32_t nx_rec_key_offset(bool is_expiring) {
  return NX_REC_HEADER_BYTES + (is_expiring ? NX_REC_EXPIRY_BYTES : 0);
}

static inline uint64_t nx_rec_bytes_for(uint32_t key_length, uint64_t value_length, bool is_expiring) {
  return nx_rec_key_offset(is_expiring) + key_length + value_length;
}

static inline const uint8_t *nx_rec_key(const nx_rec *rec) {
  return rec + nx_rec_key_offset(nx_rec_is_expiring(rec));
}
static inline uint8_t *nx_rec_value(nx_rec *rec) {
  return rec + nx_rec_key_offset(nx_rec_is_expiring(rec)) + nx_rec_key_length(rec);
}

static inline uint64_t nx_rec_bytes(const nx_rec *rec) {
  return nx_rec_bytes_for(nx_rec_key_length(rec), nx_rec_value_length(rec), nx_rec_is_expiring(rec));
}

static inline int64_t nx_rec_expires_at_ms(const nx_rec *rec) {
  return nx_rec_is_expiring(rec) ? (int64_t)nx_load64(rec + 8) : 0;
}

static inline bool nx_rec_is_expired(const nx_rec *rec, int64_t now_ms) {
  return nx_rec_is_expiring(rec) && (int64_t)nx_load64(rec + 8) <= now_ms;
}

static inline void nx_rec_set_header(nx_rec *rec, uint32_t key_length, uint64_t value_length, bool is_compact,
                                     bool is_expiring) {
  nx_store64(rec, value_length | (uint64_t)key_length << 32 | (is_compact ? NX_REC_COMPACT : 0) |
                      (is_expiring ? NX_REC_EXPIRING : 0));
}

static inline bool nx_rec_has_key(const nx_rec *rec, const nx_key *key) {
  return nx_rec_key_length(rec) == key->length && nx_rec_is_compact(rec) == key->is_compact &&
         memcmp(nx_rec_key(rec), key->data, key->length) == 0;
}

static inline uint64_t nx_rec_hash(const nx_rec *rec, nx_seed seed) {
  return nx_siphash(seed, nx_rec_key(rec), nx_rec_key_length(rec));
}

/* The key as text; a compact one is expanded into `scratch`. */
static inline nx_slice nx_rec_key_text(const nx_rec *rec, uint8_t scratch[NX_HEX_KEY_BYTES]) {
  if (!nx_rec_is_compact(rec)) return (nx_slice){nx_rec_key(rec), nx_rec_key_length(rec)};
  uint64_t number = nx_load64(nx_rec_key(rec));
  for (uint32_t i = 0; i < NX_HEX_KEY_BYTES; i++)
    scratch[i] = (uint8_t)"0123456789abcdef"[number >> (60 - 4 * i) & 15];
  return (nx_slice){scratch, NX_HEX_KEY_BYTES};
}

#endif
