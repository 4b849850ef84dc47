/* Preloaded into a real server, gives it a full disk or a clock that jumps, while it runs and without any privilege; into
 * any program, gives it a resolver that does not answer for names that end in ".invalid", and no more threads than
 * FAIL_START_THREADS says.
 *
 * FAIL_START_FAULTS names a file of two numbers, 64 bits each, that takes effect as it is written: whether the disk is full,
 * and by how many seconds the clock is off. On a full disk what is there can still be written over, and no file can grow. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static const struct { int64_t full, seconds; } none;
static const volatile __typeof__(none) *faults = &none;

__attribute__((constructor)) static void look(void) {
    const char *path = getenv("FAIL_START_FAULTS");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *mapped = mmap(NULL, sizeof none, PROT_READ, MAP_SHARED, file, 0);
    if (mapped != MAP_FAILED)
        faults = mapped;
    close(file);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* The disk. */

static int grows(int file, off_t end) {
    struct stat found;
    return faults->full && fstat(file, &found) == 0 && S_ISREG(found.st_mode) && end > found.st_size;
}

static off_t place(int file) {
    return fcntl(file, F_GETFL) & O_APPEND ? INT64_MAX / 2 : lseek(file, 0, SEEK_CUR);
}

static size_t total(const struct iovec *parts, int count) {
    size_t length = 0;
    for (int part = 0; part < count; part++)
        length += parts[part].iov_len;
    return length;
}

#define WRITER(name, arguments, end, call)                                                                                   \
    ssize_t name arguments {                                                                                                 \
        static __typeof__(&name) real;                                                                                       \
        if (!real)                                                                                                           \
            real = REAL(name);                                                                                               \
        if (faults->full && grows(file, end)) {                                                                              \
            errno = ENOSPC;                                                                                                  \
            return -1;                                                                                                       \
        }                                                                                                                    \
        return real call;                                                                                                    \
    }

WRITER(write, (int file, const void *data, size_t length), place(file) + (off_t)length, (file, data, length))
WRITER(pwrite, (int file, const void *data, size_t length, off_t at), at + (off_t)length, (file, data, length, at))
WRITER(pwrite64, (int file, const void *data, size_t length, off64_t at), at + (off_t)length, (file, data, length, at))
WRITER(writev, (int file, const struct iovec *parts, int count), place(file) + (off_t)total(parts, count), (file, parts, count))
WRITER(pwritev, (int file, const struct iovec *parts, int count, off_t at), at + (off_t)total(parts, count),
       (file, parts, count, at))
WRITER(pwritev64, (int file, const struct iovec *parts, int count, off64_t at), at + (off_t)total(parts, count),
       (file, parts, count, at))

#define ALLOCATOR(name, arguments, call, failed)                                                                             \
    int name arguments {                                                                                                     \
        if (grows(file, at + length)) {                                                                                      \
            errno = ENOSPC;                                                                                                  \
            return failed;                                                                                                   \
        }                                                                                                                    \
        return REAL(name) call;                                                                                              \
    }

ALLOCATOR(fallocate, (int file, int mode, off_t at, off_t length), (file, mode, at, length), -1)
ALLOCATOR(fallocate64, (int file, int mode, off64_t at, off64_t length), (file, mode, at, length), -1)
ALLOCATOR(posix_fallocate, (int file, off_t at, off_t length), (file, at, length), ENOSPC)
ALLOCATOR(posix_fallocate64, (int file, off64_t at, off64_t length), (file, at, length), ENOSPC)

/* The resolver. */

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    const char *end = name ? strrchr(name, '.') : NULL;
    if (end && strcmp(end, ".invalid") == 0) {
        sleep(60);
        return EAI_AGAIN;
    }
    return REAL(getaddrinfo)(name, service, hints, found);
}

/* The threads. */

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument) {
    static atomic_int made;
    const char *most = getenv("FAIL_START_THREADS");
    if (most && atomic_fetch_add(&made, 1) >= atoi(most))
        return EAGAIN;
    return REAL(pthread_create)(thread, attributes, start, argument);
}

/* The clock. */

int clock_gettime(clockid_t clock, struct timespec *now) {
    static __typeof__(&clock_gettime) real;
    if (!real)
        real = REAL(clock_gettime);
    int failed = real(clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += faults->seconds;
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}

/* The kernel ends a wait when its clock jumps past what is waited for. Of this clock it knows nothing, so a long wait ends
 * early, as if for no reason, which every waiter must be ready for. */
int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until) {
    static __typeof__(&pthread_cond_timedwait) real;
    if (!real)
        /* There may be an older one too, for another kind of condition. */
        real = (__typeof__(real))dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    if (!real)
        real = REAL(pthread_cond_timedwait);
    struct timespec now, end = *until;
    clock_gettime(CLOCK_REALTIME, &now);
    int early = now.tv_sec + 1 < until->tv_sec;
    if (early)
        end.tv_sec = now.tv_sec + 1;
    end.tv_sec -= faults->seconds;
    int ended = real(condition, mutex, &end);
    return early && ended == ETIMEDOUT ? 0 : ended;
}
