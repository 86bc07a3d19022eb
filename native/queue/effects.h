/*
 * Effects: the changes of queues as bytes. The append log keeps them and a snapshot consists of them.
 *
 *   offset  bytes  field
 *        0      1  operation
 *        1      1  kind of the channel (begin and create), else zero
 *        2      2  length of the channel's name
 *        4      4  length of the value
 *        8      8  number of the effect; 0 inside a snapshot, where every effect counts
 *       16      …  channel's name, value
 *
 * Integers are little-endian. What the value is, by operation:
 *
 *    1 counter       (no name) u64 number of the last effect there was
 *    2 begin         of a channel in a snapshot: it is empty from here on; u8 whether it is kept
 *    3 end           of a channel in a snapshot: u64 number of its last effect
 *    4 create        u8 whether it is kept
 *    5 remove        nothing
 *    6 keep          nothing
 *    7 push back     the record          8 push front    the record
 *    9 drop front    u64 how many       10 drop back     u64 how many
 *   11 subscribe     (name of the storage) nothing; it inherits the channel's records if it is the first
 *   12 add           to a stream: the entry as the ring has it (stream.h)
 *   13 trim          u64 how many entries go from the front
 *   14 delete        u64 milliseconds, u64 sequence of each entry
 *   15 state         of a stream: last id, largest deleted id (u64 pairs), u64 entries added
 *   16 group         u16 length and name, last id (u64 pair), i64 entries read: made or set
 *   17 group gone    u16 length and name
 *   18 consumer      u16 length and group, u16 length and name, i64 seen at ms: made, or seen
 *   19 consumer gone u16 length and group, u16 length and name
 *   20 deliver       u16 length and group, u16 length and consumer, id, i64 delivered at ms, u64 deliveries
 *   21 settle        u16 length and group, id of each entry that is no longer pending
 *
 * There is no checksum: the log that carries effects has one. A channel that is missing ignores everything but
 * begin, create and subscribe: a snapshot that was taken later no longer had it.
 */
#ifndef NX_QUEUE_EFFECTS_H
#define NX_QUEUE_EFFECTS_H
#include "internal.h"

typedef enum {
  NX_Q_COUNTER = 1,
  NX_Q_BEGIN,
  NX_Q_END,
  NX_Q_CREATE,
  NX_Q_REMOVE,
  NX_Q_KEEP,
  NX_Q_PUSH_BACK,
  NX_Q_PUSH_FRONT,
  NX_Q_DROP_FRONT,
  NX_Q_DROP_BACK,
  NX_Q_SUBSCRIBE,
  NX_Q_ADD,
  NX_Q_TRIM,
  NX_Q_DELETE,
  NX_Q_STATE,
  NX_Q_GROUP,
  NX_Q_GROUP_GONE,
  NX_Q_CONSUMER,
  NX_Q_CONSUMER_GONE,
  NX_Q_DELIVER,
  NX_Q_SETTLE,
  NX_Q_OPERATIONS
} nx_queue_operation;

#define NX_Q_HEADER_BYTES 16u

typedef struct {
  nx_queue_operation operation;
  uint8_t kind;
  uint64_t number;
  nx_slice name;
  nx_slice value;
} nx_queue_effect;

/* Writes the header and the name, leaves the value to the caller; returns where it goes. */
uint8_t *nx_effect_begin(nx_buffer *to, nx_queue_operation operation, uint8_t kind, uint64_t number,
                         nx_slice name, uint64_t value_length);
/* Records a change of `queue` with the next number, if the log is on. */
uint8_t *nx_queue_record(nx_queue *queue, nx_queue_operation operation, uint64_t value_length);
void nx_queue_record_value(nx_queue *queue, nx_queue_operation operation, const void *value, uint64_t length);
void nx_queue_record_number(nx_queue *queue, nx_queue_operation operation, uint64_t value);

/* Reads one effect whose slices point into `bytes`; its length, or -EBADMSG. */
int64_t nx_queue_effect_read(const uint8_t *bytes, uint64_t length, nx_queue_effect *out);

#endif
