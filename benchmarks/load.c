/* The load of the benchmark: loops on a fixed number of connections; every byte that comes back is compared.
 *
 *     load KIND PORT SIZE CONNECTIONS WARMUP SECONDS [DEPTH [RATE [tls]]]
 *
 * get      GET /bytes/SIZE
 * connect  the same, each on a connection of its own, with "Connection: close"
 * post     POST of SIZE bytes, which come back
 * echo     WebSocket messages of SIZE bytes
 * open     WebSocket handshakes, each on a connection of its own, which ends with a close frame that is answered
 * idle     WebSockets that are opened and do nothing
 *
 * DEPTH messages are sent at once and awaited together.  With RATE requests begin that often per second (over all
 * connections, however late the answers are, and a latency counts from when its request was due); 0: each
 * connection goes on as soon as it has its answer.
 *
 * Prints "start" when the warm-up is over and one line of JSON at the end:
 * {"count": completed in the window, "seconds": its length, "errors": connections lost, "p50_us": ..., "p99_us": ...,
 *  "max_us": ...}
 * One thread, one epoll set. TLS needs OpenSSL and -DWITH_TLS; certificates are not verified: it is a test tool.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "frames.h"
#ifdef WITH_TLS
#include <openssl/ssl.h>
static SSL_CTX *tls_context;
#endif

#define READ_SIZE (256u << 10)
#define BUCKETS 600 /* of the latency histogram; each is 3 % wider than the one before, from 1 microsecond */

struct connection {
    int fd, watching_writes;
#ifdef WITH_TLS
    SSL *tls;
    int tls_wants_read;
#endif
    unsigned char *request;
    size_t request_length, sent;
    size_t answered;      /* bytes of the answer seen: of the head while head_done is 0, else of the body */
    int head_done;
    char head[2048];
    double since;
    struct connection *next; /* in the list of those that wait for their turn */
};

static int poller, echo, brief, idle, posting; /* what KIND means */
static int port, tls, depth = 1;
static double rate, slowest;
static struct connection *waiting, **last_waiting = &waiting;
static size_t size;               /* of the body or message */
static unsigned char *expected;   /* the body, or the whole frame that comes back */
static size_t expected_length;
static long completed, errors, latencies[BUCKETS];
static unsigned char scratch[READ_SIZE];

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what)
{
    fprintf(stderr, "load: %s (%s)\n", what, strerror(errno));
    exit(1);
}

/* --- bytes in and out, plain or TLS: >0 moved, 0 would block, -1 broken ------------------------------------------ */

static ssize_t put(struct connection *c, const void *bytes, size_t n)
{
#ifdef WITH_TLS
    if (c->tls) {
        int r = SSL_write(c->tls, bytes, n);
        if (r > 0)
            return r;
        int e = SSL_get_error(c->tls, r);
        c->tls_wants_read = e == SSL_ERROR_WANT_READ;
        return e == SSL_ERROR_WANT_WRITE || e == SSL_ERROR_WANT_READ ? 0 : -1;
    }
#endif
    ssize_t r = send(c->fd, bytes, n, MSG_NOSIGNAL);
    return r > 0 ? r : r < 0 && errno == EAGAIN ? 0 : -1;
}

static ssize_t take(struct connection *c, void *bytes, size_t n)
{
#ifdef WITH_TLS
    if (c->tls) {
        int r = SSL_read(c->tls, bytes, n);
        if (r > 0)
            return r;
        int e = SSL_get_error(c->tls, r);
        return e == SSL_ERROR_WANT_WRITE || e == SSL_ERROR_WANT_READ ? 0 : -1;
    }
#endif
    ssize_t r = recv(c->fd, bytes, n, 0);
    return r > 0 ? r : r < 0 && errno == EAGAIN ? 0 : -1;
}

/* --- one connection ---------------------------------------------------------------------------------------------- */

static int continue_sending(struct connection *c)
{
    ssize_t n = 1;
    while (c->sent < c->request_length && n > 0) {
        n = put(c, c->request + c->sent, c->request_length - c->sent);
        if (n < 0)
            return 0;
        c->sent += n;
    }
    int wanted = c->sent < c->request_length;
#ifdef WITH_TLS
    if (c->tls_wants_read)
        wanted = 0;
#endif
    if (wanted != c->watching_writes) {
        struct epoll_event event = {.events = wanted ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = c};
        epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
        c->watching_writes = wanted;
    }
    return 1;
}

static int start_request(struct connection *c)
{
    c->sent = c->answered = 0;
    c->head_done = echo;
    return continue_sending(c);
}

static int reopen(struct connection *c);

/* The connection is free: it goes on at once, or waits for its turn. */
static int next_request(struct connection *c)
{
    if (!rate) {
        c->since = now();
        return brief ? reopen(c) : start_request(c);
    }
    c->next = NULL;
    *last_waiting = c;
    last_waiting = &c->next;
    return 1;
}

static int finish_request(struct connection *c)
{
    double micros = (now() - c->since) * 1e6, bound = 1;
    int bucket = 0;
    while (bucket < BUCKETS - 1 && micros > bound)
        bound *= 1.03, bucket++;
    latencies[bucket] += depth;
    completed += depth;
    if (micros > slowest)
        slowest = micros;
    return next_request(c);
}

/* A close frame with code 1000, masked with zeros, and what answers it. */
static const unsigned char goodbye[] = {0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8}, answered_goodbye[] = {0x88, 0x02, 0x03, 0xe8};

/* Collects the head of a response and checks it; returns how many of the n bytes belong to it, or -1. */
static ssize_t take_head(struct connection *c, const unsigned char *bytes, size_t n)
{
    size_t before = c->answered, room = sizeof c->head - 1 - before, used = n < room ? n : room;
    memcpy(c->head + before, bytes, used);
    c->head[before + used] = 0;
    char *end = strstr(c->head, "\r\n\r\n");
    if (!end) {
        c->answered += used;
        return used == n ? (ssize_t)n : -1;
    }
    if (brief == 2) {
        if (strncmp(c->head, "HTTP/1.1 101", 12) || !strstr(c->head, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
            return -1;
        c->head_done = 1;
        c->answered = 0;
        return put(c, goodbye, sizeof goodbye) == sizeof goodbye ? end + 4 - c->head - (ssize_t)before : -1;
    }
    char *length = strcasestr(c->head, "\r\ncontent-length:");
    if (strncmp(c->head, "HTTP/1.1 200", 12) || !length || strtoul(length + 17, NULL, 10) != size)
        return -1;
    c->head_done = 1;
    c->answered = 0;
    return end + 4 - c->head - before;
}

/* Checks what arrived; returns 0 when it is not what was expected. */
static int arrived(struct connection *c, const unsigned char *bytes, size_t n)
{
    if (!c->head_done) {
        ssize_t used = take_head(c, bytes, n);
        if (used < 0)
            return 0;
        bytes += used;
        n -= used;
        if (!c->head_done || (brief == 2 && !n))
            return 1;
    }
    if (n > expected_length - c->answered || memcmp(bytes, expected + c->answered, n))
        return 0;
    c->answered += n;
    return c->answered < expected_length || finish_request(c);
}

static int readable(struct connection *c)
{
#ifdef WITH_TLS
    if (c->tls_wants_read && c->sent < c->request_length) {
        c->tls_wants_read = 0;
        if (!continue_sending(c))
            return 0;
    }
#endif
    for (;;) {
        int fd = c->fd;
        ssize_t n = take(c, scratch, sizeof scratch);
        if (n < 0 || (n > 0 && !arrived(c, scratch, n)))
            return 0;
#ifdef WITH_TLS
        if (c->tls && n > 0 && c->fd == fd && !brief)
            continue; /* OpenSSL may hold more than the socket tells */
#endif
        return 1;
    }
}

/* --- setting up -------------------------------------------------------------------------------------------------- */

static const char upgrade[] = "GET /echo HTTP/1.1\r\nHost: bench.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                              "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

static void handshake(struct connection *c)
{
    char answer[2048];
    size_t have = 0;
    if (put(c, upgrade, sizeof upgrade - 1) != sizeof upgrade - 1)
        fail("cannot send the handshake");
    do {
        ssize_t n = take(c, answer + have, sizeof answer - 1 - have);
        if (n <= 0)
            fail("no answer to the handshake");
        have += n;
        answer[have] = 0;
    } while (!strstr(answer, "\r\n\r\n"));
    if (strncmp(answer, "HTTP/1.1 101", 12) || !strstr(answer, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
        fail("the handshake was refused");
}

/* A new socket for c. Its TLS handshake, if any, is done as the request is sent where connections are brief. */
static void dial(struct connection *c)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address))
        fail("cannot connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
#ifdef WITH_TLS
    if (tls) {
        c->tls = SSL_new(tls_context);
        SSL_set_fd(c->tls, c->fd);
        SSL_set_tlsext_host_name(c->tls, "bench.test");
        SSL_set_mode(c->tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        SSL_set_connect_state(c->tls);
        c->tls_wants_read = 0;
        if (!brief && SSL_connect(c->tls) != 1)
            fail("TLS handshake failed");
    }
#else
    if (tls)
        fail("built without TLS");
#endif
    if (echo)
        handshake(c);
    fcntl(c->fd, F_SETFL, fcntl(c->fd, F_GETFL) | O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event);
    c->watching_writes = 0;
}

static int reopen(struct connection *c)
{
#ifdef WITH_TLS
    if (c->tls) {
        SSL_free(c->tls);
        c->tls = NULL;
    }
#endif
    close(c->fd);
    dial(c);
    return start_request(c);
}

static void prepare(struct connection *c, int number)
{
    char *text;
    if (brief == 2) {
        c->request_length = asprintf(&text, "%s", upgrade);
        c->request = (unsigned char *)text;
        return;
    }
    if (posting) {
        c->request_length = asprintf(&text, "POST /echo HTTP/1.1\r\nHost: bench.test\r\nUser-Agent: load\r\nAccept: */*\r\n"
            "Content-Type: text/plain\r\nContent-Length: %zu\r\n\r\n%.*s", size, (int)size, (char *)expected);
        c->request = (unsigned char *)text;
        return;
    }
    if (!echo) {
        c->request_length = asprintf(&text, "GET /bytes/%zu HTTP/1.1\r\nHost: bench.test\r\nUser-Agent: load\r\nAccept: */*\r\n%s\r\n", size,
            brief ? "Connection: close\r\n" : "");
        c->request = (unsigned char *)text;
        return;
    }
    unsigned char key[4] = {0x37, 0xfa, 0x21 + number, 0x3d ^ number};
    c->request = malloc((size + 14) * depth);
    size_t n = frame_head(c->request, size, 1);
    memcpy(c->request + n, key, 4);
    n += 4;
    const unsigned char *payload = expected + expected_length - size;
    for (size_t i = 0; i < size; i++)
        c->request[n + i] = payload[i] ^ key[i & 3];
    n += size;
    for (int i = 1; i < depth; i++)
        memcpy(c->request + i * n, c->request, n);
    c->request_length = n * depth;
}

static double percentile(double share)
{
    long seen = 0;
    double bound = 1;
    for (int i = 0; i < BUCKETS; i++, bound *= 1.03)
        if ((seen += latencies[i]) >= share * completed)
            return bound;
    return bound;
}

/* Sleeps until something arrives, or for so long: who spins here keeps the backend, on the same core, from answering. */
static void doze(double seconds)
{
    struct pollfd set = {.fd = poller, .events = POLLIN};
    struct timespec most = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (time_t)seconds) * 1e9)};
    ppoll(&set, 1, &most, NULL);
}

static void run(double until)
{
    struct epoll_event events[256];
    static double due;
    if (!due)
        due = now();
    while (now() < until) {
        while (rate && waiting && due <= now()) {
            struct connection *c = waiting;
            waiting = c->next;
            if (!waiting)
                last_waiting = &waiting;
            c->since = due;
            due += 1 / rate;
            if (!(brief ? reopen(c) : start_request(c)))
                errors++;
        }
        int count = epoll_wait(poller, events, 256, rate ? 0 : 100);
        if (!count && rate) {
            double at = waiting && due < until ? due : until, begun = now();
            if (at > begun)
                doze(at - begun);
        }
        for (int i = 0; i < count; i++) {
            struct connection *c = events[i].data.ptr;
            int fine = 1;
            if (events[i].events & EPOLLOUT)
                fine = continue_sending(c);
            if (fine && events[i].events & ~EPOLLOUT)
                fine = readable(c);
            if (!fine) {
                errors++;
                epoll_ctl(poller, EPOLL_CTL_DEL, c->fd, NULL);
            }
        }
    }
}

int main(int argc, char **argv)
{
    if (argc < 7) {
        fprintf(stderr, "usage: load get|post|connect|echo|open|idle PORT SIZE CONNECTIONS WARMUP SECONDS [DEPTH [RATE [tls]]]\n");
        return 2;
    }
    idle = !strcmp(argv[1], "idle");
    echo = !strcmp(argv[1], "echo") || idle;
    posting = !strcmp(argv[1], "post");
    brief = !strcmp(argv[1], "connect") ? 1 : !strcmp(argv[1], "open") ? 2 : 0;
    size = strtoul(argv[3], NULL, 10);
    port = atoi(argv[2]);
    int connections = atoi(argv[4]);
    if (argc > 7)
        depth = atoi(argv[7]);
    if (argc > 8)
        rate = atof(argv[8]);
    tls = argc > 9 && !strcmp(argv[9], "tls");
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_TIMERSLACK, 1); /* nanosecond: what is due is sent when it is due */
#ifdef WITH_TLS
    tls_context = SSL_CTX_new(TLS_client_method());
#endif
    expected = malloc(size + 10);
    expected_length = echo ? frame_head(expected, size, 0) : 0;
    for (size_t i = 0; i < size; i++)
        expected[expected_length++] = 'a' + i % 26;
    if (brief == 2)
        memcpy(expected, answered_goodbye, expected_length = sizeof answered_goodbye);
    poller = epoll_create1(0);
    struct connection **all = calloc(connections, sizeof *all);
    for (int i = 0; i < connections; i++) {
        all[i] = calloc(1, sizeof **all);
        prepare(all[i], i);
        dial(all[i]);
    }
    if (depth > 1) {
        expected = realloc(expected, expected_length * depth);
        for (int i = 1; i < depth; i++)
            memcpy(expected + i * expected_length, expected, expected_length);
        expected_length *= depth;
    }
    for (int i = 0; i < connections && !idle; i++) {
        all[i]->since = now();
        if (rate)
            next_request(all[i]);
        else if (!start_request(all[i]))
            fail("cannot send");
    }
    run(now() + atof(argv[5]));
    completed = 0;
    slowest = 0;
    memset(latencies, 0, sizeof latencies);
    puts("start");
    fflush(stdout);
    double started = now();
    run(started + atof(argv[6]));
    printf("{\"count\": %ld, \"seconds\": %.4f, \"errors\": %ld, \"p50_us\": %.0f, \"p99_us\": %.0f, \"max_us\": %.0f}\n",
           completed, now() - started, errors, percentile(0.5), percentile(0.99), slowest);
    return 0;
}
