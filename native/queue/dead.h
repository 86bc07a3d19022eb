/*
 * Dead letters: entries of streams that were delivered again and again without being acknowledged.
 *
 * Invariant: an entry is in its stream's pending list or in the dead-letter channel, never lost between: both effects
 * are in one run, and the log keeps a run whole. The dead-letter channel is a stream named like the channel
 * with a suffix; its entries carry the fields of the original and three more: where it came from, its id, how
 * often it was delivered.
 */
#ifndef NX_QUEUE_DEAD_H
#define NX_QUEUE_DEAD_H
#include "stream.h"

/* deliveries_max 0: entries are delivered without end. */
void nx_queues_dead_letters(nx_queues *queues, uint64_t deliveries_max, nx_slice suffix);
bool nx_is_dead(const nx_queue *queue, const nx_pending *pending);
/* Moves the entry there and settles it; false when the dead-letter channel has no room: it stays pending. */
bool nx_bury(nx_queue *queue, nx_group *group, nx_stream_id id);

#endif
