/*
 * The few system calls that JavaScript runtimes do not offer: a lock that the kernel drops with the process, the
 * datagram that tells a service manager how we are, the host's monotonic clock, a signal at the parent's death, settings
 * of sockets, holes in files, the length of devices, a write that tells whether it waited, a sleep of
 * microseconds, a thread's own processor time, and a thread that lets others go first.
 * Those that can fail return 0 or a negative errno.
 */
#include "nx.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

NX_API int32_t nx_file_lock(int32_t fd);
NX_API int32_t nx_file_lock_posix(int32_t fd);
NX_API int32_t nx_file_punch(int32_t fd, uint64_t offset, uint64_t length);
NX_API int32_t nx_file_write_now(int32_t fd, const uint8_t *bytes, uint64_t length, uint64_t offset);
NX_API int64_t nx_device_bytes(int32_t fd);
NX_API uint64_t nx_monotonic_us(void);
NX_API int32_t nx_signal_at_parent_death(int32_t signal);
NX_API int32_t nx_socket_keepalive(int32_t fd, int32_t idle_seconds, int32_t interval_seconds, int32_t probes);
NX_API int32_t nx_socket_backlog(int32_t fd, int32_t backlog);
NX_API int32_t nx_socket_unsent(int32_t fd, int32_t bytes_max);
NX_API int32_t nx_socket_send(int32_t fd, const uint8_t *bytes, uint64_t length);
NX_API double nx_thread_cpu_ms(void);
NX_API void nx_thread_rest(uint32_t microseconds);
NX_API int32_t nx_thread_stand_back(int32_t thread, int32_t nicer, uint32_t turn_us);
NX_API int32_t nx_notify(const uint8_t *path, uint64_t path_length, const uint8_t *state, uint64_t state_length);

/* Exclusive, not waiting: -EWOULDBLOCK when another process (or another open of the file here) holds it. */
int32_t nx_file_lock(int32_t fd) { return flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : -errno; }

/* The same with a POSIX write lock on the whole file, which programs that know no flock see: -EAGAIN when held. */
int32_t nx_file_lock_posix(int32_t fd) {
  struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  return fcntl(fd, F_OFD_SETLK, &whole) == 0 ? 0 : -errno;
}

/* Gives the space of a part of a file or block device back; it reads as zeros then. -EOPNOTSUPP where that cannot be. */
int32_t nx_file_punch(int32_t fd, uint64_t offset, uint64_t length) {
  if (offset > INT64_MAX || length > INT64_MAX - offset) return -EINVAL;
  int result = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length);
  return result == 0 ? 0 : -errno;
}

static int64_t sleeps_of_thread(void) {
  struct rusage usage;
  return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nvcsw : 0;
}

/*
 * Writes all of `bytes`. Returns 1 when the thread had to wait for something meanwhile (a disk that is behind, a journal):
 * the time alone would not tell that from a processor that others use.
 */
int32_t nx_file_write_now(int32_t fd, const uint8_t *bytes, uint64_t length, uint64_t offset) {
  if (offset > INT64_MAX || length > INT64_MAX - offset) return -EINVAL;
  int64_t before = sleeps_of_thread();
  for (uint64_t done = 0; done < length;) {
    ssize_t count = pwrite(fd, bytes + done, length - done, (off_t)(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return -errno;
    if (count == 0) return -EIO;
    done += (uint64_t)count;
  }
  return sleeps_of_thread() != before;
}

/* How long a block device is, whose status does not tell; a negative errno where that cannot be found out. */
int64_t nx_device_bytes(int32_t fd) {
  off_t end = lseek(fd, 0, SEEK_END);
  return end < 0 ? -errno : end;
}

/* CLOCK_MONOTONIC as the service manager reads it; the runtime's own clock starts with the process. */
uint64_t nx_monotonic_us(void) {
  struct timespec now;
  if (clock_gettime(CLOCK_MONOTONIC, &now) != 0) return 0;
  return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

/*
 * Has the kernel send `signal` when the thread that started this process ends. A parent with several threads may cause it
 * several times: once for each thread that the child is handed on to before the last one ends.
 */
int32_t nx_signal_at_parent_death(int32_t signal) { return prctl(PR_SET_PDEATHSIG, signal) == 0 ? 0 : -errno; }

/* A peer that answers none of `probes` probes, `interval_seconds` apart after `idle_seconds` of silence, is gone. */
int32_t nx_socket_keepalive(int32_t fd, int32_t idle_seconds, int32_t interval_seconds, int32_t probes) {
  const int on = 1;
  if (setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) != 0 ||
      setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_seconds, sizeof idle_seconds) != 0 ||
      setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_seconds, sizeof interval_seconds) != 0 ||
      setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes) != 0)
    return -errno;
  return 0;
}

/* How many connections may wait for accept; the kernel caps it at net.core.somaxconn. `fd` listens already. */
int32_t nx_socket_backlog(int32_t fd, int32_t backlog) { return listen(fd, backlog) == 0 ? 0 : -errno; }

/* What the kernel takes beyond the bytes that the peer has room for. Connections have it from their listener. */
int32_t nx_socket_unsent(int32_t fd, int32_t bytes_max) {
  return setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes_max, sizeof bytes_max) == 0 ? 0 : -errno;
}

/*
 * Sends what fits into the socket's buffer at this moment; a peer that is gone raises no signal. Not the library's send(2),
 * which prepares for the thread's cancellation each time: 2 % of a small request.
 */
int32_t nx_socket_send(int32_t fd, const uint8_t *bytes, uint64_t length) {
  const uint64_t most = length < 1u << 30 ? length : 1u << 30;
  long sent = syscall(SYS_sendto, fd, bytes, most, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
  return sent < 0 ? -errno : (int32_t)sent;
}

/* What this thread has taken of a processor since its start; 0 where the kernel does not tell. */
double nx_thread_cpu_ms(void) {
  struct timespec taken;
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &taken) != 0) return 0;
  return (double)taken.tv_sec * 1e3 + (double)taken.tv_nsec / 1e6;
}

/*
 * Sleeps at least that long. The kernel is told once to wake this thread on time: left alone it adds up to 50 µs. A signal ends
 * the sleep early.
 */
void nx_thread_rest(uint32_t microseconds) {
  static _Thread_local bool is_punctual;
  if (!is_punctual) is_punctual = prctl(PR_SET_TIMERSLACK, 1000ul) == 0;
  const struct timespec length = {.tv_sec = microseconds / 1000000u, .tv_nsec = microseconds % 1000000u * 1000};
  nanosleep(&length, NULL);
}

/* struct sched_attr of the kernel (sched_setattr(2)), which older C libraries do not have. */
typedef struct {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
} scheduling;

enum { NICE_MAX = 19 };

/*
 * Has another thread of this process do its work in turns of `turn_us`, interrupt nobody when it wakes up, and be nicer than
 * the calling thread by `nicer`. A long turn is one that others with shorter ones may interrupt (Linux 6.12; before, it is
 * ignored). 1 when nothing was done because the caller is of a class of its own: whoever chose that has his reasons.
 */
int32_t nx_thread_stand_back(int32_t thread, int32_t nicer, uint32_t turn_us) {
  if (sched_getscheduler(0) != SCHED_OTHER) return 1;
  const int32_t nice = getpriority(PRIO_PROCESS, 0) + nicer;
  scheduling wanted = {
    .size = sizeof wanted,
    .policy = SCHED_BATCH,
    .nice = nice < NICE_MAX ? nice : NICE_MAX,
    .runtime = turn_us * 1000ull,
  };
  return syscall(SYS_sched_setattr, thread, &wanted, 0) == 0 ? 0 : -errno;
}

/*
 * Sends `state` to the socket named by $NOTIFY_SOCKET (sd_notify(3)): a path, or an abstract name that begins with
 * '@'. Not waiting: a manager that does not read must not stop us.
 */
int32_t nx_notify(const uint8_t *path, uint64_t path_length, const uint8_t *state, uint64_t state_length) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (path_length < 2 || path_length >= sizeof address.sun_path || (path[0] != '/' && path[0] != '@')) return -EINVAL;
  memcpy(address.sun_path, path, path_length);
  if (path[0] == '@') address.sun_path[0] = 0;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path_length);
  ssize_t sent = sendto(fd, state, state_length, MSG_NOSIGNAL, (const struct sockaddr *)&address, length);
  int32_t result = sent < 0 ? -errno : 0;
  close(fd);
  return result;
}
