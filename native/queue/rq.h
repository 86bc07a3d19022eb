/*
 * The save file of a channel, as the originals write it (`<channel>.rq`, `<subscriber>@<channel>.rq`).
 *
 *   offset  bytes  field
 *        0      4  number of records
 *        4      8  bytes that follow
 *       12      …  records, oldest first: u64 length, bytes
 *
 * Integers are little-endian. There is no checksum; the lengths must add up exactly.
 */
#ifndef NX_QUEUE_RQ_H
#define NX_QUEUE_RQ_H
#include "queue.h"

/* Appends the file of a list. */
void nx_rq_write(const nx_queue *queue, nx_buffer *out);
/* Pushes the records of a file. 0, -EBADMSG when its lengths do not add up (nothing was pushed), -ENOSPC when they do
 * not all fit (those that did are there). */
int nx_rq_read(nx_queue *queue, const uint8_t *bytes, uint64_t length);

#endif
