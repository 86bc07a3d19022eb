/* The calls of stretches.h: preadv2 that does not wait, copies through a buffer or, if they are long, a pipe, holes. */
#include "stretches.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/* Small enough to stay in a processor's cache between the read and the write. */
#define COPY_BYTES (UINT64_C(256) << 10)
/* From here on a copy through a pipe costs less: the pages are handed over, and copied once. */
#define SPLICE_BYTES (UINT64_C(128) << 10)
#define PIPE_BYTES (1 << 20)
/* The disk is given so much at a time of what is synced soon. */
#define SOON_BYTES (UINT64_C(8) << 20)

static bool read_cached(int32_t file, uint8_t *to, uint64_t length, uint64_t from) {
  for (uint64_t done = 0; done < length;) {
    struct iovec part = {.iov_base = to + done, .iov_len = length - done};
    ssize_t count = preadv2(file, &part, 1, (off_t)(from + done), RWF_NOWAIT);
    if (count <= 0) return false;
    done += (uint64_t)count;
  }
  return true;
}

uint64_t nx_stretches_read_now(int32_t log, int32_t data, nx_stretch *stretches, uint64_t count, uint8_t *out,
                               uint64_t out_length) {
  uint64_t late = 0;
  for (uint64_t index = 0; index < count; index++) {
    nx_stretch *stretch = &stretches[index];
    NX_ASSERT(stretch->to <= out_length && stretch->length <= out_length - stretch->to);
    if (stretch->source == NX_SOURCE_ZERO) {
      memset(out + stretch->to, 0, stretch->length);
      continue;
    }
    int32_t file = stretch->source == NX_SOURCE_LOG ? log : data;
    if (read_cached(file, out + stretch->to, stretch->length, stretch->from)) continue;
    stretch->source |= NX_SOURCE_LATE;
    late += 1;
  }
  return late;
}

static int32_t write_all(int32_t file, const uint8_t *from, uint64_t length, uint64_t to) {
  for (uint64_t done = 0; done < length;) {
    ssize_t count = pwrite(file, from + done, length - done, (off_t)(to + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return -errno;
    if (count == 0) return -EIO;
    done += (uint64_t)count;
  }
  return 0;
}

static int32_t copy_bytes(int32_t log, int32_t data, const nx_stretch *stretch, uint8_t *buffer) {
  for (uint64_t done = 0; done < stretch->length;) {
    uint64_t length = stretch->length - done < COPY_BYTES ? stretch->length - done : COPY_BYTES;
    ssize_t count = pread(log, buffer, length, (off_t)(stretch->from + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return -errno;
    if (count == 0) return -EIO; /* the log is shorter than what is in it */
    int32_t failed = write_all(data, buffer, (uint64_t)count, stretch->to + done);
    if (failed != 0) return failed;
    done += (uint64_t)count;
  }
  return 0;
}

/* Copies in parts, and lets the disk begin with each; a file that cannot do that is written when it is synced. */
static int32_t copy_and_begin(int32_t log, int32_t data, const nx_stretch *stretch, uint8_t *buffer) {
  int32_t failed = 0;
  for (uint64_t done = 0; done < stretch->length && failed == 0; done += SOON_BYTES) {
    uint64_t left = stretch->length - done;
    nx_stretch part = {
        .from = stretch->from + done, .length = left < SOON_BYTES ? left : SOON_BYTES, .to = stretch->to + done};
    failed = copy_bytes(log, data, &part, buffer);
    if (failed == 0) sync_file_range(data, (off64_t)part.to, (off64_t)part.length, SYNC_FILE_RANGE_WRITE);
  }
  return failed;
}

/* -EINVAL where one of the files cannot be spliced; what was copied until then is copied again. */
static int32_t splice_bytes(int32_t log, int32_t data, const nx_stretch *stretch, const int pipe[2]) {
  off64_t from = (off64_t)stretch->from, to = (off64_t)stretch->to;
  for (uint64_t left = stretch->length; left != 0;) {
    ssize_t taken = splice(log, &from, pipe[1], NULL, left, 0);
    if (taken < 0 && errno == EINTR) continue;
    if (taken < 0) return -errno;
    if (taken == 0) return -EIO;
    left -= (uint64_t)taken;
    for (uint64_t inside = (uint64_t)taken; inside != 0;) {
      ssize_t count = splice(pipe[0], NULL, data, &to, inside, 0);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return count < 0 ? -errno : -EIO;
      inside -= (uint64_t)count;
    }
  }
  return 0;
}

static int32_t make_zero(int32_t data, const nx_stretch *stretch, uint8_t *buffer) {
  if (fallocate(data, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)stretch->to, (off_t)stretch->length) == 0)
    return 0;
  memset(buffer, 0, COPY_BYTES);
  int32_t failed = 0;
  for (uint64_t done = 0; done < stretch->length && failed == 0; done += COPY_BYTES) {
    uint64_t length = stretch->length - done < COPY_BYTES ? stretch->length - done : COPY_BYTES;
    failed = write_all(data, buffer, length, stretch->to + done);
  }
  return failed;
}

int32_t nx_stretches_copy(int32_t log, int32_t data, const nx_stretch *stretches, uint64_t count) {
  uint8_t *buffer = malloc(COPY_BYTES);
  NX_ASSERT(buffer != NULL);
  int32_t failed = 0;
  int pipe[2] = {-1, -1};
  bool has_pipe = pipe2(pipe, O_CLOEXEC) == 0 && fcntl(pipe[1], F_SETPIPE_SZ, PIPE_BYTES) >= 0;
  for (uint64_t index = 0; index < count && failed == 0; index++) {
    const nx_stretch *stretch = &stretches[index];
    if (stretch->source == NX_SOURCE_ZERO) {
      failed = make_zero(data, stretch, buffer);
      continue;
    }
    if ((stretch->source & NX_SOURCE_SOON) != 0) {
      failed = copy_and_begin(log, data, stretch, buffer);
      continue;
    }
    failed = has_pipe && stretch->length >= SPLICE_BYTES ? splice_bytes(log, data, stretch, pipe) : -EINVAL;
    if (failed != -EINVAL) continue;
    /* Something may be left in the pipe. */
    has_pipe = has_pipe && stretch->length < SPLICE_BYTES;
    failed = copy_bytes(log, data, stretch, buffer);
  }
  if (pipe[0] >= 0) close(pipe[0]);
  if (pipe[1] >= 0) close(pipe[1]);
  free(buffer);
  return failed;
}

int32_t nx_stretches_write(int32_t file, const uint8_t *bytes, uint64_t length, const nx_stretch *stretches,
                           uint64_t count) {
  uint8_t *buffer = malloc(COPY_BYTES);
  NX_ASSERT(buffer != NULL);
  int32_t failed = 0;
  for (uint64_t index = 0; index < count && failed == 0; index++) {
    const nx_stretch *stretch = &stretches[index];
    if (stretch->source == NX_SOURCE_ZERO) {
      failed = make_zero(file, stretch, buffer);
      continue;
    }
    NX_ASSERT(stretch->from <= length && stretch->length <= length - stretch->from);
    failed = write_all(file, bytes + stretch->from, stretch->length, stretch->to);
  }
  free(buffer);
  return failed;
}

uint64_t nx_extent_end(int32_t file, uint64_t offset, uint64_t size, uint8_t *is_hole) {
  off_t data = lseek(file, (off_t)offset, SEEK_DATA);
  *is_hole = data < 0 ? errno == ENXIO : (uint64_t)data > offset;
  if (data < 0) return size;
  off_t end = *is_hole ? data : lseek(file, (off_t)offset, SEEK_HOLE);
  return end <= (off_t)offset || (uint64_t)end > size ? size : (uint64_t)end;
}
