/* One connection that floods: it asks on without ever waiting for an answer, and takes what comes as fast as it can.
 *
 *     flood KIND PORT SIZE WARMUP SECONDS
 *
 * echo     WebSocket messages of SIZE bytes        get      GET /flood/bytes/SIZE, pipelined
 * post     POST of SIZE bytes to /flood/take, pipelined; the answer is short
 *
 * Prints "start" when the warm-up is over and one line of JSON at the end, both of the window:
 * {"count": answers, "bytes": that went there and came back, "seconds": its length, "errors": 1 where the connection was
 *  lost or something else came than was expected}
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "frames.h"

#define PIECE (256u << 10)

static int fd, echo, failed;
static unsigned char *requests, *frame, input[PIECE]; /* what is sent again and again; what comes back for a message */
static size_t requests_length, request_at, frame_length, frame_at, size;
static char head[4096];
static size_t head_length, body_left;
static long long count, bytes;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what)
{
    fprintf(stderr, "flood: %s (%s)\n", what, strerror(errno));
    exit(1);
}

static void dial(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address))
        fail("cannot connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void handshake(void)
{
    static const char upgrade[] = "GET /flood/echo HTTP/1.1\r\nHost: bench.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                                  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    size_t have = 0;
    if (send(fd, upgrade, sizeof upgrade - 1, MSG_NOSIGNAL) != sizeof upgrade - 1)
        fail("cannot send the handshake");
    do {
        ssize_t n = recv(fd, head + have, sizeof head - 1 - have, 0);
        if (n <= 0)
            fail("no answer to the handshake");
        have += n;
        head[have] = 0;
    } while (!strstr(head, "\r\n\r\n"));
    if (strncmp(head, "HTTP/1.1 101", 12))
        fail("the handshake was refused");
}

/* --- what is sent: one request, copied until there is a good piece to send at once ------------------------------------ */

static void prepare(const char *kind)
{
    unsigned char *one = malloc(size + 512);
    size_t n;
    if (echo) {
        static const unsigned char key[4] = {0x37, 0xfa, 0x21, 0x3d};
        frame = malloc(size + 10);
        frame_length = frame_head(frame, size, 0);
        n = frame_head(one, size, 1);
        memcpy(one + n, key, 4);
        n += 4;
        for (size_t i = 0; i < size; i++) {
            frame[frame_length++] = 'a' + i % 26;
            one[n++] = ('a' + i % 26) ^ key[i & 3];
        }
    } else if (!strcmp(kind, "post")) {
        n = sprintf((char *)one, "POST /flood/take HTTP/1.1\r\nHost: bench.test\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n", size);
        for (size_t i = 0; i < size; i++)
            one[n++] = 'a' + i % 26;
    } else {
        n = sprintf((char *)one, "GET /flood/bytes/%zu HTTP/1.1\r\nHost: bench.test\r\nUser-Agent: flood\r\nAccept: */*\r\n\r\n", size);
    }
    size_t copies = n < PIECE ? PIECE / n : 1;
    requests = malloc(copies * n);
    for (size_t i = 0; i < copies; i++)
        memcpy(requests + i * n, one, n);
    requests_length = copies * n;
    free(one);
}

/* --- what comes ------------------------------------------------------------------------------------------------------ */

static int echoed(const unsigned char *at, size_t n)
{
    while (n) {
        size_t piece = frame_length - frame_at < n ? frame_length - frame_at : n;
        if (memcmp(at, frame + frame_at, piece))
            return 0;
        at += piece, n -= piece, frame_at += piece;
        if (frame_at == frame_length)
            frame_at = 0, count++;
    }
    return 1;
}

static int answered(const unsigned char *at, size_t n)
{
    while (n) {
        if (body_left) {
            size_t piece = body_left < n ? body_left : n;
            at += piece, n -= piece, body_left -= piece;
            count += !body_left;
            continue;
        }
        size_t before = head_length, piece = sizeof head - 1 - before < n ? sizeof head - 1 - before : n;
        memcpy(head + before, at, piece);
        head[before + piece] = 0;
        char *end = strstr(head, "\r\n\r\n");
        if (!end) {
            head_length += piece;
            return head_length < sizeof head - 1;
        }
        char *length = strcasestr(head, "\r\ncontent-length:");
        if (strncmp(head, "HTTP/1.1 200", 12) || !length || length > end || !(body_left = strtoul(length + 17, NULL, 10)))
            return 0;
        piece = end + 4 - head - before;
        at += piece, n -= piece, head_length = 0;
    }
    return 1;
}

static void run(double until)
{
    while (now() < until && !failed) {
        struct pollfd set = {.fd = fd, .events = POLLIN | POLLOUT};
        if (poll(&set, 1, 100) <= 0)
            continue;
        if (set.revents & ~POLLOUT) {
            ssize_t n = recv(fd, input, sizeof input, 0);
            if (n == 0 || (n < 0 && errno != EAGAIN) || (n > 0 && !(echo ? echoed : answered)(input, n)))
                failed = 1;
            bytes += n > 0 ? n : 0;
        }
        if (set.revents & POLLOUT && !failed) {
            ssize_t n = send(fd, requests + request_at, requests_length - request_at, MSG_NOSIGNAL);
            if (n < 0 && errno != EAGAIN)
                failed = 1;
            bytes += n > 0 ? n : 0;
            request_at = (request_at + (n > 0 ? n : 0)) % requests_length;
        }
    }
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: flood echo|get|post PORT SIZE WARMUP SECONDS\n");
        return 2;
    }
    echo = !strcmp(argv[1], "echo");
    size = strtoul(argv[3], NULL, 10);
    signal(SIGPIPE, SIG_IGN);
    prepare(argv[1]);
    dial(atoi(argv[2]));
    if (echo)
        handshake();
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    run(now() + atof(argv[4]));
    count = bytes = 0;
    puts("start");
    fflush(stdout);
    double started = now();
    run(started + atof(argv[5]));
    printf("{\"count\": %lld, \"bytes\": %lld, \"seconds\": %.4f, \"errors\": %d}\n", count, bytes, now() - started, failed);
    return 0;
}
