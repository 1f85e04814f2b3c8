/* Faults of the system beneath segcam: preloaded into it, this stands before the C library.
 *
 * SEGCAM_FAULTS names a file of four 64-bit numbers, which may change at any time: the seconds by
 * which the wall clock is wrong, and the most milliseconds that the capture, the inference and the
 * display sleep whenever they ask what time it is (until the number is 0 again).
 *
 * SEGCAM_CUT=WORD:N[:FILE] is a power cut: the process is killed at the Nth operation on a file
 * whose path contains WORD, in the midst of it where it is a write. What it was is left in FILE.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *faults;
static char word[64];
static atomic_long left;
static int report = -1;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("SEGCAM_FAULTS");
    if (path) {
        int file = syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
        void *found = mmap(NULL, 32, PROT_READ, MAP_SHARED, file, 0);
        if (file < 0 || found == MAP_FAILED)
            abort();
        faults = found;
    }
    const char *cut = getenv("SEGCAM_CUT");
    long count;
    char name[PATH_MAX];
    if (cut && sscanf(cut, "%63[^:]:%ld:%4095s", word, &count, name) == 3) {
        left = count;
        report = syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    }
}

/* Which of the numbers is this thread's. */
static int thread(void)
{
    static __thread int known = -1;
    if (known < 0) {
        char name[16] = "";
        prctl(PR_GET_NAME, name);
        known = !strcmp(name, "capture") ? 1 : !strcmp(name, "inference") ? 2 : !strcmp(name, "segcam") ? 3 : 0;
    }
    return known;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    if (faults && thread()) {
        const struct timespec millisecond = {0, 1000000};
        for (int64_t slept = 0; slept < faults[thread()]; slept++)
            nanosleep(&millisecond, NULL);
    }
    int result = syscall(SYS_clock_gettime, clock, time);
    if (faults && clock == CLOCK_REALTIME && !result)
        time->tv_sec += faults[0];
    return result;
}

/* True when the power goes now. */
static int goes(const char *path)
{
    return *word && path && strstr(path, word) && atomic_fetch_sub(&left, 1) == 1;
}

static void cut(const char *what, const char *path)
{
    char text[PATH_MAX + 64];
    int length = snprintf(text, sizeof text, "%s %s", what, path);
    syscall(SYS_write, report, text, length);
    for (;;)
        kill(getpid(), SIGKILL);
}

static const char *path_of(int file, char *path)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = 0;
    return path;
}

ssize_t write(int file, const void *bytes, size_t count)
{
    char path[PATH_MAX];
    if (*word && file > 2 && goes(path_of(file, path))) {
        syscall(SYS_write, file, bytes, count / 2);
        cut("write", path);
    }
    return syscall(SYS_write, file, bytes, count);
}

int fdatasync(int file)
{
    char path[PATH_MAX];
    if (*word && goes(path_of(file, path)))
        cut("sync", path);
    return syscall(SYS_fdatasync, file);
}

int fsync(int file)
{
    char path[PATH_MAX];
    if (*word && goes(path_of(file, path)))
        cut("sync", path);
    return syscall(SYS_fsync, file);
}

int rename(const char *from, const char *to)
{
    if (goes(from))
        cut("rename", from);
    return syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlink(const char *path)
{
    if (goes(path))
        cut("unlink", path);
    return syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int open64(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    int mode = va_arg(more, int);
    va_end(more);
    if (goes(path))
        cut("open", path);
    return syscall(SYS_openat, AT_FDCWD, path, flags | O_LARGEFILE, mode);
}
