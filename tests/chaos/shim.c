/* Makes system calls fail or take long. The shim is loaded before the C library and calls its functions.
 *
 * CHAOS_RULES   rules op:errno:first:times:delay_ms, separated by commas; times 0 is for ever, errno 0 only delays,
 *               errno -9 kills the process after a read or write was made
 * CHAOS_MATCH   a part of a path; rules apply only to files whose path contains it
 * CHAOS_SWITCH  a file; rules hold, and calls are counted, only while it exists
 * CHAOS_STRUCK  a file that gets the name of each op whose rule has struck, and `caller_wrote` if the program's
 *               first thread has written to standard error
 * CHAOS_STATFS  the kind of file system that the rule for statfs reports for every folder
 * CHAOS_JUMP_S  the seconds by which the wall clock is off while the rules hold
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

enum op { WRITE, READ, FSYNC, OPEN, LOCK, TRUNCATE, STATFS, THREAD, ALLOC, CLOCK, RESERVE, LARGE, OPS };
static const char *const names[OPS] = {"write", "read", "fsync", "open", "lock", "truncate", "statfs",
                                       "thread", "alloc", "clock", "reserve", "large"};

struct rule {
    enum op op;
    int error;
    long first, times, delay_ms;
    atomic_long seen;
    atomic_int told;
};

/* The bytes from which on an allocation counts as a large one. */
#define LARGE_BYTES (128 * 1024)

static struct rule rules[8];
static int rule_count;
static const char *match, *switch_path, *struck_path;
static long jump_s;
static atomic_char watched[4096];

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void read_rules(void) {
    match = getenv("CHAOS_MATCH");
    switch_path = getenv("CHAOS_SWITCH");
    struck_path = getenv("CHAOS_STRUCK");
    const char *jump = getenv("CHAOS_JUMP_S");
    jump_s = jump ? atol(jump) : 0;
    const char *text = getenv("CHAOS_RULES");
    while (text && *text && rule_count < 8) {
        struct rule *rule = &rules[rule_count];
        size_t length = strcspn(text, ":");
        for (int op = 0; op < OPS; op++) {
            if (strlen(names[op]) == length && !strncmp(names[op], text, length)) {
                char *rest = (char *)text + length;
                rule->op = op;
                rule->error = strtol(rest + 1, &rest, 10);
                rule->first = strtol(rest + 1, &rest, 10);
                rule->times = strtol(rest + 1, &rest, 10);
                rule->delay_ms = strtol(rest + 1, &rest, 10);
                rule_count++;
            }
        }
        text += strcspn(text, ",");
        text += *text == ',';
    }
}

static _Thread_local int is_killed;

static int is_on(void) {
    return !switch_path || syscall(SYS_faccessat, AT_FDCWD, switch_path, F_OK) == 0;
}

/* Notes a word once in the file for the test. */
static void note(const char *word, atomic_int *told) {
    if (!struck_path || atomic_exchange(told, 1)) return;
    int fd = syscall(SYS_openat, AT_FDCWD, struck_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0) return;
    char line[16];
    size_t length = strlen(word);
    memcpy(line, word, length);
    line[length] = '\n';
    syscall(SYS_write, fd, line, length + 1);
    syscall(SYS_close, fd);
}

/* Notes once that a rule has struck. */
static void note_strike(struct rule *rule) { note(names[rule->op], &rule->told); }

/* Notes a write to standard error by the victim's first thread, which makes its calls and prints nothing there. */
static void note_writer(int fd) {
    static atomic_int told;
    if (fd == STDERR_FILENO && syscall(SYS_gettid) == getpid()) note("caller_wrote", &told);
}

/* Returns 1 and sets errno if the call is to fail. */
static int fails(enum op op) {
    for (int at = 0; at < rule_count; at++) {
        struct rule *rule = &rules[at];
        if (rule->op != op || !is_on()) continue;
        long number = atomic_fetch_add(&rule->seen, 1) + 1;
        if (number < rule->first || (rule->times && number >= rule->first + rule->times)) continue;
        note_strike(rule);
        if (rule->delay_ms) {
            struct timespec pause = {rule->delay_ms / 1000, rule->delay_ms % 1000 * 1000000};
            nanosleep(&pause, NULL);
        }
        if (rule->error == -SIGKILL) {
            is_killed = 1;
        } else if (rule->error) {
            errno = rule->error;
            return 1;
        }
    }
    return 0;
}

static int is_watched(int fd) { return fd >= 0 && fd < 4096 && watched[fd]; }
static int is_meant(const char *path) { return match && path && strstr(path, match); }

static int opened(const char *path, int fd) {
    if (fd >= 0 && fd < 4096) watched[fd] = is_meant(path);
    return fd;
}

#define OPEN_AS(name) \
    int name(const char *path, int flags, ...) { \
        REAL(name); \
        va_list rest; \
        va_start(rest, flags); \
        int mode = va_arg(rest, int); \
        va_end(rest); \
        if (is_meant(path) && fails(OPEN)) return -1; \
        return opened(path, real(path, flags, mode)); \
    }
OPEN_AS(open)
OPEN_AS(open64)

int close(int fd) {
    REAL(close);
    if (fd >= 0 && fd < 4096) watched[fd] = 0;
    return real(fd);
}

#define IO_AS(name, op, buffer, ...) \
    if (is_watched(fd) && fails(op)) return -1; \
    ssize_t result = real(fd, buffer, size, ##__VA_ARGS__); \
    if (is_killed) raise(SIGKILL); \
    return result

ssize_t write(int fd, const void *from, size_t size) { REAL(write); note_writer(fd); IO_AS(write, WRITE, from); }
ssize_t pwrite(int fd, const void *from, size_t size, off_t at) { REAL(pwrite); IO_AS(pwrite, WRITE, from, at); }
ssize_t pwrite64(int fd, const void *from, size_t size, off64_t at) { REAL(pwrite64); IO_AS(pwrite64, WRITE, from, at); }
ssize_t read(int fd, void *into, size_t size) { REAL(read); IO_AS(read, READ, into); }
ssize_t pread(int fd, void *into, size_t size, off_t at) { REAL(pread); IO_AS(pread, READ, into, at); }
ssize_t pread64(int fd, void *into, size_t size, off64_t at) { REAL(pread64); IO_AS(pread64, READ, into, at); }

#define FILE_AS(name, op) \
    int name(int fd) { \
        REAL(name); \
        if (is_watched(fd) && fails(op)) return -1; \
        return real(fd); \
    }
FILE_AS(fsync, FSYNC)
FILE_AS(fdatasync, FSYNC)

int ftruncate(int fd, off_t size) { REAL(ftruncate); if (is_watched(fd) && fails(TRUNCATE)) return -1; return real(fd, size); }
int ftruncate64(int fd, off64_t size) { REAL(ftruncate64); if (is_watched(fd) && fails(TRUNCATE)) return -1; return real(fd, size); }

#define FCNTL_AS(name) \
    int name(int fd, int command, ...) { \
        REAL(name); \
        va_list rest; \
        va_start(rest, command); \
        void *argument = va_arg(rest, void *); \
        va_end(rest); \
        if ((command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK) && is_watched(fd) && \
            fails(LOCK)) return -1; \
        return real(fd, command, argument); \
    }
FCNTL_AS(fcntl)
FCNTL_AS(fcntl64)

/* Returns the kind of file system to report: NFS, or the requested kind. */
static long reported_kind(void) {
    const char *kind = getenv("CHAOS_STATFS");
    return kind ? strtol(kind, NULL, 16) : 0x6969;
}
#define STATFS_AS(name, type) \
    int name(const char *path, struct type *answer) { \
        REAL(name); \
        int result = real(path, answer); \
        if (result == 0 && fails(STATFS)) answer->f_type = reported_kind(); \
        return result; \
    }
STATFS_AS(statfs, statfs)
STATFS_AS(statfs64, statfs64)

int posix_fallocate(int fd, off_t from, off_t size) {
    REAL(posix_fallocate);
    if (fails(RESERVE)) return errno;
    return real(fd, from, size);
}
int posix_fallocate64(int fd, off64_t from, off64_t size) {
    REAL(posix_fallocate64);
    if (fails(RESERVE)) return errno;
    return real(fd, from, size);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument) {
    REAL(pthread_create);
    if (fails(THREAD)) return errno;
    return real(thread, attributes, run, argument);
}

/* Rings are the only zeroed memory of this size that the victim asks for. */
void *calloc(size_t count, size_t size) {
    extern void *__libc_calloc(size_t, size_t);
    if (rule_count && count * size >= LARGE_BYTES && (fails(ALLOC) || fails(LARGE))) return NULL;
    return __libc_calloc(count, size);
}

/* The victim itself asks for no memory of this size. */
void *malloc(size_t size) {
    extern void *__libc_malloc(size_t);
    if (rule_count && size >= LARGE_BYTES && fails(LARGE)) return NULL;
    return __libc_malloc(size);
}

void *realloc(void *memory, size_t size) {
    extern void *__libc_realloc(void *, size_t);
    if (rule_count && size >= LARGE_BYTES && fails(LARGE)) return NULL;
    return __libc_realloc(memory, size);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    REAL(clock_gettime);
    int result = real(clock, time);
    if (jump_s && clock == CLOCK_REALTIME && result == 0 && is_on()) {
        time->tv_sec += jump_s;
        for (int at = 0; at < rule_count; at++) {
            if (rules[at].op == CLOCK) note_strike(&rules[at]);
        }
    }
    return result;
}
