/* /dev/udmabuf for kernels without it: libcamera's virtual camera wants DMA buffers, plain shared memory serves it.
 *
 * Preloaded, it lets /dev/udmabuf open anywhere; what UDMABUF_CREATE then returns is the memfd itself, and
 * DMA_BUF_IOCTL_SYNC, which has nothing to do on such memory, succeeds. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/udmabuf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/types.h>

#define MOST 4096
static char is_udmabuf[MOST]; /* by descriptor; libcamera opens it once and keeps it */

#define INTERPOSE(name)                                                       \
  int name(const char *path, int flags, ...) {                                \
    static int (*real)(const char *, int, ...);                               \
    va_list rest;                                                             \
    va_start(rest, flags);                                                    \
    mode_t mode = va_arg(rest, mode_t);                                       \
    va_end(rest);                                                             \
    if (!real) real = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, #name); \
    if (strcmp(path, "/dev/udmabuf")) return real(path, flags, mode); \
    int fd = real("/dev/null", O_RDWR | O_CLOEXEC);                           \
    if (fd >= 0 && fd < MOST) is_udmabuf[fd] = 1;                             \
    return fd;                                                                \
  }
INTERPOSE(open)
INTERPOSE(open64)

int ioctl(int fd, unsigned long request, ...) {
  static int (*real)(int, unsigned long, ...);
  va_list rest;
  va_start(rest, request);
  void *argument = va_arg(rest, void *);
  va_end(rest);
  if (!real) real = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
  if (request == UDMABUF_CREATE && fd >= 0 && fd < MOST && is_udmabuf[fd])
    return fcntl(((struct udmabuf_create *)argument)->memfd, F_DUPFD_CLOEXEC, 0);
  int answer = real(fd, request, argument);
  if (request == DMA_BUF_IOCTL_SYNC && answer < 0 && errno == ENOTTY) return 0;
  return answer;
}
