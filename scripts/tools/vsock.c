// SPDX-License-Identifier: Apache-2.0
/*
 * Streams over vsock in a Linux guest: `vsock listen PORT` takes one connection, `vsock CID PORT` makes one; then standard input goes
 * into it and what comes out of it to standard output, until both have ended.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

static char buffer[65536];

static int fail(const char *what)
{
	printf("vsock: %s: %s\n", what, strerror(errno));
	return 1;
}

/* All of it. */
static int put(int to, const char *bytes, ssize_t count)
{
	while (count > 0) {
		ssize_t part = write(to, bytes, (size_t)count);

		if (part <= 0) {
			return -1;
		}
		bytes += part;
		count -= part;
	}
	return 0;
}

static int talk(int link)
{
	struct pollfd fds[2] = { { .fd = 0, .events = POLLIN }, { .fd = link, .events = POLLIN } };

	while ((fds[0].fd >= 0 || fds[1].fd >= 0) && poll(fds, 2, -1) > 0) {
		if (fds[1].revents != 0) {
			ssize_t count = read(link, buffer, sizeof(buffer));

			if (count < 0 || put(1, buffer, count) < 0) {
				return fail("the connection");
			}
			if (count == 0) {
				fds[1].fd = -1;
			}
		} else if (fds[0].revents != 0) {
			ssize_t count = read(0, buffer, sizeof(buffer));

			if (count > 0 && put(link, buffer, count) < 0) {
				return fail("the connection");
			}
			if (count <= 0) {
				shutdown(link, SHUT_WR);
				fds[0].fd = -1;
			}
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_vm address = { .svm_family = AF_VSOCK };
	int is_listening = argc == 3 && strcmp(argv[1], "listen") == 0;
	int link = socket(AF_VSOCK, SOCK_STREAM, 0);

	if (argc != 3 || link < 0) {
		return fail("usage: vsock listen|CID PORT");
	}
	address.svm_cid = is_listening ? VMADDR_CID_ANY : (unsigned int)strtoul(argv[1], NULL, 10);
	address.svm_port = (unsigned int)strtoul(argv[2], NULL, 10);
	if (!is_listening) {
		return connect(link, (struct sockaddr *)&address, sizeof(address)) < 0
		               ? fail("connect")
		               : talk(link);
	}
	if (bind(link, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(link, 1) < 0) {
		return fail("listen");
	}
	link = accept(link, NULL, NULL);
	return link < 0 ? fail("accept") : talk(link);
}
