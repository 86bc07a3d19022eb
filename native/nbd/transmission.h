/*
 * The transmission phase of NBD (the protocol document of the NetworkBlockDevice project): requests in, replies out.
 * All numbers are big-endian.
 *
 *   request            offset  bytes           simple reply       offset  bytes
 *     0x25609513            0      4             0x67446698            0      4
 *     command flags         4      2             error                 4      4
 *     type                  6      2             cookie                8      8
 *     cookie                8      8             data of a read       16
 *     offset               16      8           structured reply chunk
 *     length               24      4             0x668e33ef            0      4
 *     data of a write      28                    flags (1: last)       4      2
 *                                                type                  6      2
 *                                                cookie                8      8
 *                                                length               16      4
 *
 * Invariant: every request is checked against the export before anyone sees it; data is handed on when all of it is
 * there. A peer that breaks the framing ends its connection, a request that cannot be gets an error.
 */
#ifndef NX_NBD_TRANSMISSION_H
#define NX_NBD_TRANSMISSION_H
#include <stdbool.h>
#include <stdint.h>

#include "../buffer.h"
#include "../nx.h"

enum {
  NX_NBD_READ = 0, NX_NBD_WRITE = 1, NX_NBD_DISCONNECT = 2, NX_NBD_FLUSH = 3, NX_NBD_TRIM = 4,
  NX_NBD_WRITE_ZEROES = 6, NX_NBD_BLOCK_STATUS = 7,
};
enum {
  NX_NBD_FLAG_FUA = 1, NX_NBD_FLAG_NO_HOLE = 2, NX_NBD_FLAG_DF = 4, NX_NBD_FLAG_REQ_ONE = 8, NX_NBD_FLAG_FAST_ZERO = 16,
};
enum { NX_NBD_EPERM = 1, NX_NBD_EIO = 5, NX_NBD_EINVAL = 22, NX_NBD_ENOSPC = 28, NX_NBD_EOVERFLOW = 75,
       NX_NBD_ENOTSUP = 95, NX_NBD_ESHUTDOWN = 108 };

/* Read by src/native/nbd.ts. */
typedef struct {
  uint64_t cookie; /* as it came */
  uint64_t offset;
  uint32_t length;
  uint16_t flags, type;
  uint64_t payload; /* for requests that are queued: where their data begins in the payload buffer */
} nx_nbd_request;

/* What feeding ended with. */
enum { NX_NBD_GOOD, NX_NBD_ENDED, NX_NBD_BROKEN };

typedef struct nx_nbd nx_nbd;
/* Takes a request that was checked; `data` is only valid during the call. */
typedef void nx_nbd_taker(void *context, nx_nbd *nbd, const nx_nbd_request *request, const uint8_t *data);

/* Where the data of a write may be put together that comes in several chunks, so that it need not be copied once more. */
typedef struct {
  void *context;
  uint8_t *(*lend)(void *context, nx_nbd *nbd, uint32_t length); /* null: nowhere */
  void (*give_back)(void *context, nx_nbd *nbd);
} nx_nbd_lender;

/* `has_status`: the client has chosen a context, and may ask for block status. */
NX_API nx_nbd *nx_nbd_new(uint32_t id, uint64_t export_bytes, uint32_t data_max, uint32_t write_unit,
                          bool is_structured, bool has_status, bool is_read_only);
/* It goes when the last request that `nx_nbd_hold` counted has been answered. */
NX_API void nx_nbd_close(nx_nbd *nbd);
NX_API void nx_nbd_resize(nx_nbd *nbd, uint64_t export_bytes);
NX_API nx_buffer *nx_nbd_out(nx_nbd *nbd);
NX_API nx_buffer *nx_nbd_backlog(nx_nbd *nbd); /* bytes that wait until answers were sent: feed nothing to go on */
NX_API nx_buffer *nx_nbd_queue(nx_nbd *nbd);   /* nx_nbd_request structs */
NX_API nx_buffer *nx_nbd_payload(nx_nbd *nbd); /* the data of those that write */
uint32_t nx_nbd_id(const nx_nbd *nbd);
/* Requests taken and not answered. */
NX_API uint32_t nx_nbd_held(const nx_nbd *nbd);
void nx_nbd_hold(nx_nbd *nbd);
NX_API void nx_nbd_release(nx_nbd *nbd);
bool nx_nbd_is_closed(const nx_nbd *nbd);

/* Takes a chunk of the connection; requests go to `take`. What was lent is given back when its request was taken, or when
 * the connection ends; the lender's memory must stay until then, or until nx_nbd_take_back. */
uint32_t nx_nbd_feed_to(nx_nbd *nbd, const uint8_t *bytes, uint64_t length, nx_nbd_taker *take, void *context,
                        const nx_nbd_lender *lender);
/* The lender goes: what came so far is kept elsewhere. */
void nx_nbd_take_back(nx_nbd *nbd);
/* The same; requests are appended to the queue. */
NX_API uint32_t nx_nbd_feed(nx_nbd *nbd, const uint8_t *bytes, uint64_t length);

/* Appends an answer without data. */
NX_API void nx_nbd_reply(nx_nbd *nbd, uint32_t type, uint64_t cookie, uint32_t error);
/* Appends the head of an answer to a read and room for its data; returns where in `out` the data goes. */
NX_API uint64_t nx_nbd_reply_data(nx_nbd *nbd, uint64_t cookie, uint64_t offset, uint32_t length);
/* Appends a block status of one context; `extents` are pairs of length and flags. */
NX_API void nx_nbd_reply_status(nx_nbd *nbd, uint64_t cookie, uint32_t context, const uint32_t *extents,
                                uint32_t count);

#endif
