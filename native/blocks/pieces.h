/*
 * Which part of which write is still visible when all were made: the rule "the later one wins" over address ranges.
 *
 * Pieces come out in rising order of addresses, each a longest stretch of one write that no later one covers.
 */
#ifndef NX_BLOCKS_PIECES_H
#define NX_BLOCKS_PIECES_H
#include <stdint.h>

#include "wdiff.h"

/* Takes one piece: write number `write` with address, blocks and image_start of what is visible of it. */
typedef void nx_piece_taker(void *context, const nx_diff_record *piece, uint32_t write);

/* `writes` are in the order in which they were made. O(n log n); needs 8 bytes of memory per write while it runs. */
void nx_visible_pieces(const nx_diff_record *writes, uint64_t count, nx_piece_taker *take, void *context);

/* Cuts a piece into powers of two, each aligned to its own size, of at most `blocks_max` (a power of two). */
void nx_aligned_pieces(const nx_diff_record *piece, uint32_t write, uint32_t blocks_max, nx_piece_taker *take,
                       void *context);

#endif
