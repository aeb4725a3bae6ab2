/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What newlib wants of the system below it (newlib libc manual, "System Calls"): memory from a fixed heap, and text output
 * to the kernel log. There are no files, processes or signals in a domain.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "lib/call.h"
#include "lib/heap.h"
#include "lib/mutex.h"

struct _reent;

int _close(int file);
int _fstat(int file, struct stat *status);
int _getpid(void);
int _isatty(int file);
int _kill(int process, int signal);
off_t _lseek(int file, off_t offset, int whence);
int _read(int file, char *data, int length);
void *_sbrk(ptrdiff_t bytes);
int _write(int file, const char *data, int length);
_Noreturn void _exit(int status);
void __malloc_lock(struct _reent *reent);
void __malloc_unlock(struct _reent *reent);

static size_t heap_used_bytes;
static struct bh_mutex heap_mutex;

size_t bh_heap_used_bytes(void)
{
	return heap_used_bytes;
}

void *_sbrk(ptrdiff_t bytes)
{
	size_t used = heap_used_bytes;

	if ((bytes > 0 && (size_t)bytes > bh_heap_size - used) ||
	    (bytes < 0 && (size_t)-bytes > used)) {
		errno = ENOMEM;
		return (void *)-1;
	}
	heap_used_bytes = used + (size_t)bytes;
	return bh_heap + used;
}

/* newlib's malloc takes no lock of its own; several threads of a VMM may allocate. It never nests the lock in these builds. */
void __malloc_lock(struct _reent *reent)
{
	(void)reent;
	bh_mutex_lock(&heap_mutex);
}

void __malloc_unlock(struct _reent *reent)
{
	(void)reent;
	bh_mutex_unlock(&heap_mutex);
}

int _write(int file, const char *data, int length)
{
	(void)file;
	for (int done = 0; done < length;) {
		int part = length - done < 200 ? length - done : 200;

		bh_log_write(data + done, (uint64_t)part);
		done += part;
	}
	return length;
}

int _read(int file, char *data, int length)
{
	(void)file, (void)data, (void)length;
	errno = EBADF;
	return -1;
}

int _close(int file)
{
	(void)file;
	errno = EBADF;
	return -1;
}

off_t _lseek(int file, off_t offset, int whence)
{
	(void)file, (void)offset, (void)whence;
	errno = ESPIPE;
	return -1;
}

int _fstat(int file, struct stat *status)
{
	(void)file;
	memset(status, 0, sizeof(*status));
	status->st_mode = S_IFCHR;
	return 0;
}

int _isatty(int file)
{
	(void)file;
	return 1;
}

int _getpid(void)
{
	return 1;
}

int _kill(int process, int signal)
{
	(void)process, (void)signal;
	errno = EINVAL;
	return -1;
}

_Noreturn void _exit(int status)
{
	(void)status;
	__builtin_trap();
}
