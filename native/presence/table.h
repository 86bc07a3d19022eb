/*
 * From an epoch's records to its database: duplicates out, the flattest of some bucket-hash keys, buckets filled.
 *
 * A record begins with its id. Records are named by their position in the order of arrival. The three steps keep what
 * they need in buffers of the caller; the bytes that come out depend on the records, their order and the keys alone.
 */
#ifndef NX_PRESENCE_TABLE_H
#define NX_PRESENCE_TABLE_H
#include <stdint.h>

#include "../nx.h"

/* Which of several records under one id stays. */
enum {
  NX_PRESENCE_LARGEST, /* the bytewise largest */
  NX_PRESENCE_EACH,    /* each that differs */
  NX_PRESENCE_FIRST,   /* the one that came first */
};

/* In how many partitions a record lies when there are several. */
#define NX_PRESENCE_CHOICES 3u

/*
 * Writes the positions of the records that stay to `order` (`count` entries), ascending by id and then by the whole
 * record; returns how many, or -EINVAL for sizes that do not fit, -ENOMEM.
 */
NX_API int64_t nx_presence_order(const uint8_t *records, uint64_t count, uint64_t record_len, uint64_t id_len,
                                 uint32_t rule, uint32_t *order);

/*
 * The index of the key among `keys` (`key_count` of `key_len` bytes behind each other) under which the fullest bucket is
 * smallest. The size of that bucket goes to *bucket_size, the records per bucket to `loads` (partitions * rows entries).
 * Negative errno for sizes that do not fit.
 */
NX_API int64_t nx_presence_flattest(const uint8_t *records, uint64_t record_len, uint64_t id_len,
                                    const uint32_t *order, uint64_t count, const uint8_t *keys,
                                    uint64_t key_count, uint64_t key_len, uint64_t rows, uint64_t partitions,
                                    uint32_t *bucket_size, uint32_t *loads);

/*
 * Fills `table`, zeros on entry: partitions * rows buckets, `stride` bytes apart, each with room for bucket_size records
 * that stand at its end, ascending, or descending. `loads` is what nx_presence_flattest found for this key; it is used
 * up.
 */
NX_API int64_t nx_presence_fill(const uint8_t *records, uint64_t record_len, uint64_t id_len, const uint32_t *order,
                                uint64_t count, const uint8_t *key, uint64_t key_len, uint64_t rows,
                                uint64_t partitions, uint64_t bucket_size, uint64_t stride, uint32_t is_descending,
                                uint32_t *loads, uint8_t *table);

#endif
