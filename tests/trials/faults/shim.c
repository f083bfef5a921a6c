/* Let calls of the C library fail, as `control` says; loaded into the service with LD_PRELOAD.

   Files and folders: only those below `root`, and with PROC those below /proc and /sys. Sockets: only of the Internet. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum { OPEN, WRITE, FSYNC, STAT, MMAP, SOCKET, THREAD, PROC, KINDS };
enum { FILES = 4096 };

struct control {
    volatile uint32_t mask, per_mille, error, unused;
    volatile uint32_t injected[16];
    char root[1024];
};

static struct control *control;
static volatile unsigned char ours[FILES], internet[FILES];
static __thread uint64_t state;

__attribute__((constructor)) static void attach(void) {
    const char *path = getenv("FAULTS_CONTROL");
    int file = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR, 0) : -1;
    if (file < 0) return;
    void *found = (void *)syscall(SYS_mmap, NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    control = found == MAP_FAILED ? NULL : found;
    syscall(SYS_close, file);
}

static int fails(int kind) {
    if (!control || !(control->mask >> kind & 1)) return 0;
    if (!state) state = (uint64_t)(uintptr_t)&state * 2654435761u + (uint64_t)syscall(SYS_gettid) + 88172645463325252u;
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    if (state % 1000 >= control->per_mille) return 0;
    __sync_fetch_and_add(&control->injected[kind], 1);
    return 1;
}

static int below_root(const char *path) {
    return control && path && !strncmp(path, control->root, strlen(control->root));
}

static int is_ours(int file) { return file >= 0 && file < FILES && ours[file]; }
static int is_internet(int file) { return file >= 0 && file < FILES && internet[file]; }

static int path_fails(int kind, const char *path) {
    int proc = path && (!strncmp(path, "/proc/", 6) || !strncmp(path, "/sys/", 5));
    return (below_root(path) && fails(kind)) || (proc && fails(PROC));
}

static int refuse(void) {
    errno = (int)control->error;
    return -1;
}

#define REAL(name) ((__typeof__(name) *)dlsym(RTLD_NEXT, #name))

static int open_checked(int folder, const char *path, int flags, mode_t mode) {
    if (path_fails(OPEN, path)) return refuse();
    int file = (int)syscall(SYS_openat, folder, path, flags, mode);
    if (file < 0) return -1;
    if (file < FILES) ours[file] = below_root(path), internet[file] = 0;
    return file;
}

#define MODE(flags) mode_t mode = 0; \
    if ((flags) & (O_CREAT | __O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); }

int open(const char *path, int flags, ...) { MODE(flags) return open_checked(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return open_checked(AT_FDCWD, path, flags, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE(flags) return open_checked(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE(flags) return open_checked(folder, path, flags, mode); }

int close(int file) {
    if (file >= 0 && file < FILES) ours[file] = internet[file] = 0;
    return REAL(close)(file);
}

ssize_t write(int file, const void *data, size_t size) {
    return is_ours(file) && fails(WRITE) ? refuse() : REAL(write)(file, data, size);
}
ssize_t pwrite(int file, const void *data, size_t size, off_t at) {
    return is_ours(file) && fails(WRITE) ? refuse() : REAL(pwrite)(file, data, size, at);
}
ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) {
    return is_ours(file) && fails(WRITE) ? refuse() : REAL(pwrite64)(file, data, size, at);
}
int ftruncate(int file, off_t size) { return is_ours(file) && fails(WRITE) ? refuse() : REAL(ftruncate)(file, size); }
int ftruncate64(int file, off64_t size) { return is_ours(file) && fails(WRITE) ? refuse() : REAL(ftruncate64)(file, size); }
int mkdir(const char *path, mode_t mode) { return path_fails(OPEN, path) ? refuse() : REAL(mkdir)(path, mode); }
int unlink(const char *path) { return path_fails(OPEN, path) ? refuse() : REAL(unlink)(path); }
int rename(const char *from, const char *to) { return path_fails(OPEN, to) ? refuse() : REAL(rename)(from, to); }
int fsync(int file) { return is_ours(file) && fails(FSYNC) ? refuse() : REAL(fsync)(file); }
int fdatasync(int file) { return is_ours(file) && fails(FSYNC) ? refuse() : REAL(fdatasync)(file); }

int stat(const char *path, struct stat *into) { return path_fails(STAT, path) ? refuse() : REAL(stat)(path, into); }
int stat64(const char *path, struct stat64 *into) { return path_fails(STAT, path) ? refuse() : REAL(stat64)(path, into); }
int lstat(const char *path, struct stat *into) { return path_fails(STAT, path) ? refuse() : REAL(lstat)(path, into); }
int lstat64(const char *path, struct stat64 *into) { return path_fails(STAT, path) ? refuse() : REAL(lstat64)(path, into); }
int fstat(int file, struct stat *into) { return is_ours(file) && fails(STAT) ? refuse() : REAL(fstat)(file, into); }
int fstat64(int file, struct stat64 *into) { return is_ours(file) && fails(STAT) ? refuse() : REAL(fstat64)(file, into); }
int fstatat(int folder, const char *path, struct stat *into, int flags) {
    return path_fails(STAT, path) ? refuse() : REAL(fstatat)(folder, path, into, flags);
}
int fstatat64(int folder, const char *path, struct stat64 *into, int flags) {
    return path_fails(STAT, path) ? refuse() : REAL(fstatat64)(folder, path, into, flags);
}

void *mmap(void *at, size_t size, int protection, int flags, int file, off_t offset) {
    if (is_ours(file) && fails(MMAP)) return refuse(), MAP_FAILED;
    return (void *)syscall(SYS_mmap, at, size, protection, flags, file, offset);
}
void *mmap64(void *at, size_t size, int protection, int flags, int file, off64_t offset) {
    return mmap(at, size, protection, flags, file, offset);
}

int socket(int domain, int type, int protocol) {
    int inet = domain == AF_INET || domain == AF_INET6;
    if (inet && fails(SOCKET)) return refuse();
    int file = REAL(socket)(domain, type, protocol);
    if (file >= 0 && file < FILES) internet[file] = (unsigned char)inet, ours[file] = 0;
    return file;
}
int connect(int file, const struct sockaddr *to, socklen_t size) {
    return is_internet(file) && fails(SOCKET) ? refuse() : REAL(connect)(file, to, size);
}
ssize_t send(int file, const void *data, size_t size, int flags) {
    return is_internet(file) && fails(SOCKET) ? refuse() : REAL(send)(file, data, size, flags);
}
ssize_t recv(int file, void *data, size_t size, int flags) {
    return is_internet(file) && fails(SOCKET) ? refuse() : REAL(recv)(file, data, size, flags);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument) {
    return fails(THREAD) ? EAGAIN : REAL(pthread_create)(thread, attributes, body, argument);
}
