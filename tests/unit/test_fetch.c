// SPDX-License-Identifier: Apache-2.0
/*
 * What fetch is made of and what needs no network: URLs, HTTP answers, TFTP packets, SHA-256. Every
 * HTTP answer is also read a byte at a time.
 */
// sources: mgmt/net/url.c mgmt/net/http.c mgmt/net/tftp.c lib/sha256.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/sha256.h"
#include "mgmt/net/http.h"
#include "mgmt/net/tftp.h"
#include "mgmt/net/url.h"

/* ---- URLs ------------------------------------------------------------------------------------- */

static void reads_urls(void **state)
{
	struct url url;
	const char *why;
	char name[16];

	(void)state;
	assert_true(url_read(&url, "HTTP://host.example:8080/a/b.img?x=1#part", &why));
	assert_int_equal(url.scheme, URL_HTTP);
	assert_string_equal(url.host, "host.example");
	assert_int_equal(url.port, 8080);
	assert_string_equal(url.path, "/a/b.img?x=1");
	url_file_name(&url, name, sizeof(name));
	assert_string_equal(name, "b.img");
	assert_true(url_read(&url, "http://[fe80::1]", &why));
	assert_string_equal(url.host, "fe80::1");
	assert_string_equal(url.path, "/");
	assert_int_equal(url.port, 80);
	url_file_name(&url, name, sizeof(name));
	assert_string_equal(name, "");
	assert_true(url_read(&url, "tftp://10.0.2.2/dir/kernel", &why));
	assert_int_equal(url.port, 69);
	assert_true(url_read(&url, "http://h/a-very-long-name-for-a-file", &why));
	url_file_name(&url, name, sizeof(name));
	assert_string_equal(name, "a-very-long-nam");
}

static void refuses_urls(void **state)
{
	static const char *const bad[] = {
		"",
		"ftp://h/x",
		"https://h/x",
		"http://",
		"http:///x",
		"http://h:0",
		"http://h:99999/",
		"http://h:x/",
		"http://[::1/x",
		"http://u@h/x",
		"http://h/a b",
		"http://h/\x01",
		"tftp://h",
		"tftp://h/",
		"http://h:80x/",
	};
	char text[700] = "http://h/";
	struct url url;
	const char *why;
	uint32_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		why = NULL;
		if (url_read(&url, bad[i], &why)) {
			fail_msg("'%s' is taken for a URL", bad[i]);
		}
		assert_non_null(why);
	}
	memset(text + 9, 'a', 600);
	assert_false(url_read(&url, text, &why));
	memcpy(text, "http://aaaaa", 12);
	assert_false(url_read(&url, text, &why)); /* the host is too long */
}

static void follows_redirects(void **state)
{
	struct url url;
	const char *why;

	(void)state;
	assert_true(url_read(&url, "http://h:81/x", &why));
	assert_true(url_follow(&url, "/y", &why));
	assert_string_equal(url.path, "/y");
	assert_int_equal(url.port, 81);
	assert_true(url_follow(&url, "http://other/z", &why));
	assert_string_equal(url.host, "other");
	assert_int_equal(url.port, 80);
	assert_false(url_follow(&url, "tftp://other/z", &why));
	assert_false(url_follow(&url, "https://other/z", &why));
	assert_string_equal(url.path, "/z");
	/* Relative references were refused. */
	assert_true(url_follow(&url, "//third:82/a/b/c?d/e", &why));
	assert_string_equal(url.host, "third");
	assert_int_equal(url.port, 82);
	assert_true(url_follow(&url, "f:g/", &why) == false);
	assert_true(url_follow(&url, "f", &why));
	assert_string_equal(url.path, "/a/b/f");
	assert_true(url_follow(&url, "?q=1", &why));
	assert_string_equal(url.path, "/a/b/f?q=1");
	assert_true(url_follow(&url, "./g/h?r=..", &why));
	assert_string_equal(url.path, "/a/b/g/h?r=..");
	assert_true(url_follow(&url, "../../i", &why));
	assert_string_equal(url.path, "/a/i");
	assert_true(url_follow(&url, "../../../j", &why));
	assert_string_equal(url.path, "/j");
	assert_false(url_follow(&url, "k l", &why));
	assert_string_equal(url.path, "/j");
	assert_int_equal(url.port, 82);
}

/* ---- HTTP ------------------------------------------------------------------------------------- */

static struct http http;
static char got[4096];
static size_t got_bytes;

/* Reads an answer in pieces of `step` bytes, into room of `room` at a time; then the end of the connection. */
static void answer(const char *text, size_t step, size_t room)
{
	size_t size = strlen(text);
	size_t at = 0;

	http_init(&http);
	got_bytes = 0;
	while (at < size && http.state != HTTP_DONE && http.state != HTTP_FAILED) {
		const uint8_t *body;
		size_t body_bytes;
		size_t part = size - at < step ? size - at : step;
		size_t taken = http_take(&http, (const uint8_t *)text + at, part, room, &body,
		                         &body_bytes);

		assert_true(taken <= part && body_bytes <= room && taken != 0);
		assert_true(got_bytes + body_bytes <= sizeof(got));
		memcpy(got + got_bytes, body, body_bytes);
		got_bytes += body_bytes;
		at += taken;
	}
	http_close(&http);
}

static void assert_body(const char *text, const char *body)
{
	static const size_t steps[] = { 1, 2, 7, 4096 };
	uint32_t i;

	for (i = 0; i < 4; i++) {
		answer(text, steps[i], i == 0 ? 4096 : steps[i]);
		if (http.state != HTTP_DONE) {
			fail_msg("failed: %s", http.error);
		}
		assert_int_equal(got_bytes, strlen(body));
		assert_memory_equal(got, body, got_bytes);
	}
}

static void assert_refused(const char *text, const char *why)
{
	static const size_t steps[] = { 1, 4096 };
	uint32_t i;

	for (i = 0; i < 2; i++) {
		answer(text, steps[i], 4096);
		assert_int_equal(http.state, HTTP_FAILED);
		if (strstr(http.error, why) == NULL) {
			fail_msg("the error is '%s', not '%s'", http.error, why);
		}
	}
}

static void reads_answers(void **state)
{
	(void)state;
	assert_body("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello");
	assert_body("HTTP/1.0 200 OK\nX: y\n\nhello to the end", "hello to the end");
	assert_body("HTTP/1.1 200 OK\r\ncontent-length:  3 \r\n\r\nabcdef", "abc");
	assert_body("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "");
	assert_body("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	            "5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n",
	            "hello0123456789");
	assert_body("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
	            "x");
	answer("HTTP/1.1 302 Found\r\nLocation: http://other/x\r\nContent-Length: 0\r\n\r\n", 9,
	       99);
	assert_true(http_is_redirect(&http));
	assert_string_equal(http.location, "http://other/x");
	answer("HTTP/1.1 404 Not Found\r\n\r\n", 9, 99);
	assert_int_equal(http.status, 404);
}

static void refuses_answers(void **state)
{
	char text[4096];
	int length;
	int i;

	(void)state;
	assert_refused("SSH-2.0-OpenSSH\r\n", "HTTP");
	assert_refused("HTTP/2 200\r\n", "HTTP");
	assert_refused("HTTP/1.1 2x0 OK\r\n", "HTTP");
	assert_refused("", "without an answer");
	assert_refused("HTTP/1.1 200 OK\r\nContent-Le", "without an answer");
	assert_refused("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "length");
	assert_refused("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", "length");
	assert_refused("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
	               "length");
	assert_refused("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
	               "two lengths");
	assert_refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "encoding");
	assert_refused("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", "packed");
	assert_refused("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", "before the end");
	assert_refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", "before");
	assert_refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "chunk");
	assert_refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n",
	               "chunk");
	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_refused(text, "too long");
	length = snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n");
	for (i = 0; i < 300; i++) {
		length += snprintf(text + length, sizeof(text) - (size_t)length, "a: b\r\n");
	}
	assert_refused(text, "too many lines");
}

static void writes_requests(void **state)
{
	struct url url;
	const char *why;
	char out[512];

	(void)state;
	assert_true(url_read(&url, "http://[fe80::1]:8080/a?b", &why));
	assert_int_not_equal(http_request(&url, out, sizeof(out)), 0);
	assert_non_null(strstr(out, "GET /a?b HTTP/1.1\r\nHost: [fe80::1]:8080\r\n"));
	assert_int_equal(http_request(&url, out, 20), 0);
}

/* ---- TFTP ------------------------------------------------------------------------------------- */

static struct tftp tftp;
static uint8_t packet[TFTP_PACKET_SIZE];
static const uint8_t *data;
static size_t data_bytes;

static enum tftp_event take(const char *bytes, size_t size)
{
	return tftp_take(&tftp, (const uint8_t *)bytes, size, &data, &data_bytes);
}

static enum tftp_event take_block(uint16_t block, size_t size)
{
	static uint8_t bytes[TFTP_PACKET_SIZE];

	memset(bytes, 'x', sizeof(bytes));
	bytes[0] = 0;
	bytes[1] = 3;
	bytes[2] = (uint8_t)(block >> 8);
	bytes[3] = (uint8_t)block;
	return tftp_take(&tftp, bytes, 4 + size, &data, &data_bytes);
}

static void reads_by_tftp(void **state)
{
	static const char request[] = "\0\1dir/kernel\0octet\0tsize\0"
				      "0\0blksize\0"
				      "1428";
	uint32_t i;

	(void)state;
	assert_int_equal(tftp_begin(&tftp, "dir/kernel", packet), sizeof(request));
	assert_memory_equal(packet, request, sizeof(request));
	assert_int_equal(take("\0\6blksize\0"
	                      "1024\0tsize\0"
	                      "70000000\0",
	                      30),
	                 TFTP_AGREED);
	assert_int_equal(tftp.total, 70000000);
	assert_int_equal(tftp_answer(&tftp, packet), 4);
	assert_memory_equal(packet, "\0\4\0\0", 4);
	for (i = 1; i <= 70000; i++) { /* the block number wraps around */
		assert_int_equal(take_block((uint16_t)i, 1024), TFTP_DATA);
		assert_int_equal(data_bytes, 1024);
	}
	assert_int_equal(take_block((uint16_t)70000, 1024), TFTP_AGAIN);
	assert_int_equal(take_block((uint16_t)70002, 1024), TFTP_IGNORED);
	assert_int_equal(take_block((uint16_t)70001, 0), TFTP_LAST);
	assert_int_equal(data_bytes, 0);
	assert_int_equal(take_block((uint16_t)70001, 0), TFTP_AGAIN); /* its answer was lost */
}

/* A server that knows no options answers with the first block of 512 bytes. */
static void reads_from_a_plain_server(void **state)
{
	(void)state;
	tftp_begin(&tftp, "kernel", packet);
	assert_int_equal(take_block(0, 512), TFTP_IGNORED);
	assert_int_equal(take_block(1, 512), TFTP_DATA);
	assert_int_equal(take("\0\6tsize\0"
	                      "1\0",
	                      10),
	                 TFTP_IGNORED);
	assert_int_equal(take_block(2, 100), TFTP_LAST);
	assert_int_equal(data_bytes, 100);
}

static void refuses_tftp_answers(void **state)
{
	static const struct {
		const char *bytes;
		size_t size;
	} bad[] = {
		{ "\0\5\0\1no such\033file\0", 17 },
		{ "\0\5\0\1unended", 11 },
		{ "\0\6blksize\0"
		  "1429\0",
		  15 },
		{ "\0\6blksize\0"
		  "7\0",
		  12 },
		{ "\0\6blksize\0"
		  "1x\0",
		  13 },
		{ "\0\6blksize\0", 10 },
		{ "\0\6timeout\0"
		  "1\0",
		  12 },
		{ "\0\6tsize\0"
		  "99999999999999999999\0",
		  29 },
	};
	uint32_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		tftp_begin(&tftp, "kernel", packet);
		assert_int_equal(take(bad[i].bytes, bad[i].size), TFTP_FAILED);
		assert_null(strchr(tftp.error, '\033'));
		assert_int_equal(take_block(1, 512), TFTP_IGNORED);
	}
	tftp_begin(&tftp, "kernel", packet);
	assert_int_equal(take_block(1, 513), TFTP_FAILED);
	tftp_begin(&tftp, "kernel", packet);
	assert_int_equal(take("\0\3\0", 3), TFTP_IGNORED);
	assert_int_equal(take("\1\3\0\1", 4), TFTP_IGNORED);
	assert_int_equal(take("\0\1\0\1", 4), TFTP_IGNORED);
}

/* ---- SHA-256 ---------------------------------------------------------------------------------- */

static void hashes(void **state)
{
	/* FIPS 180-4's examples, and a million times 'a' */
	static const uint8_t abc[4] = { 0xba, 0x78, 0x16, 0xbf };
	static const uint8_t two[4] = { 0x24, 0x8d, 0x6a, 0x61 };
	static const uint8_t none[4] = { 0xe3, 0xb0, 0xc4, 0x42 };
	static const uint8_t million[4] = { 0xcd, 0xc7, 0x6e, 0x5c };
	uint8_t digest[SHA256_BYTES];
	struct sha256 sha;
	uint32_t i;

	(void)state;
	sha256_init(&sha);
	sha256_end(&sha, digest);
	assert_memory_equal(digest, none, 4);
	sha256_init(&sha);
	sha256_add(&sha, "a", 1);
	sha256_add(&sha, "bc", 2);
	sha256_end(&sha, digest);
	assert_memory_equal(digest, abc, 4);
	sha256_init(&sha);
	sha256_add(&sha, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56);
	sha256_end(&sha, digest);
	assert_memory_equal(digest, two, 4);
	sha256_init(&sha);
	for (i = 0; i < 100000; i++) {
		sha256_add(&sha, "aaaaaaaaaa", 10);
	}
	sha256_end(&sha, digest);
	assert_memory_equal(digest, million, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_urls),           cmocka_unit_test(refuses_urls),
		cmocka_unit_test(follows_redirects),    cmocka_unit_test(reads_answers),
		cmocka_unit_test(refuses_answers),      cmocka_unit_test(writes_requests),
		cmocka_unit_test(reads_by_tftp),        cmocka_unit_test(reads_from_a_plain_server),
		cmocka_unit_test(refuses_tftp_answers), cmocka_unit_test(hashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
