/* The backend of the benchmark: as little work per request as a real server can do.
 *
 *     backend PORT        prints "ready PORT" and serves on 127.0.0.1 until it is killed; PORT 0 takes a free one
 *
 * GET …/bytes/N answers with N bytes (a repeated alphabet), any other GET with "ok", a POST with a Content-Length with its
 * own body, or with "ok" when it has come where the path ends in /take; a WebSocket handshake on any path turns the connection into an echo. One thread, one epoll set, level-triggered. It trusts its peers: it is a test tool.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define LARGEST_BODY (64u << 20)
#define READ_SIZE (256u << 10)

struct buffer {
    unsigned char *data;
    size_t start, end, room;
};

struct connection {
    int fd, websocket, watching_writes;
    struct buffer in, out;
    size_t body_left, body_at; /* what is still to be sent of a /bytes/N answer */
    size_t posted;             /* what has not arrived yet of the body of a POST, which goes back as it comes */
    int taking;                /* it does not: "ok" does, at its end */
};

static int poller;
static unsigned char *alphabet; /* LARGEST_BODY bytes to send from */

static void reserve(struct buffer *b, size_t more)
{
    if (b->start == b->end)
        b->start = b->end = 0;
    if (b->end + more <= b->room)
        return;
    if (b->start) {
        memmove(b->data, b->data + b->start, b->end - b->start);
        b->end -= b->start;
        b->start = 0;
    }
    if (b->end + more > b->room) {
        b->room = (b->end + more) * 2;
        b->data = realloc(b->data, b->room);
        if (!b->data)
            abort();
    }
}

static void append(struct buffer *b, const void *bytes, size_t n)
{
    reserve(b, n);
    memcpy(b->data + b->end, bytes, n);
    b->end += n;
}

/* --- the WebSocket handshake: SHA-1 (FIPS 180-4) and base64 ---------------------------------------------------- */

static uint32_t rotate(uint32_t word, int bits) { return word << bits | word >> (32 - bits); }

static void sha1_block(uint32_t state[5], const unsigned char *block)
{
    uint32_t w[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | block[4 * i + 1] << 16 | block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < 80; i++)
        w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (int i = 0; i < 80; i++) {
        uint32_t f, k;
        if (i < 20) {
            f = (b & c) | (~b & d), k = 0x5a827999;
        } else if (i < 40) {
            f = b ^ c ^ d, k = 0x6ed9eba1;
        } else if (i < 60) {
            f = (b & c) | (b & d) | (c & d), k = 0x8f1bbcdc;
        } else {
            f = b ^ c ^ d, k = 0xca62c1d6;
        }
        uint32_t next = rotate(a, 5) + f + e + k + w[i];
        e = d, d = c, c = rotate(b, 30), b = a, a = next;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
}

/* The value of Sec-WebSocket-Accept for a 24-character key: 60 bytes in all, hence always two blocks. */
static void accept_value(const char *key, char out[29])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    unsigned char blocks[128] = {0}, digest[21] = {0};
    memcpy(blocks, key, 24);
    memcpy(blocks + 24, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
    blocks[60] = 0x80;
    blocks[126] = 480 >> 8, blocks[127] = 480 & 255;
    sha1_block(state, blocks);
    sha1_block(state, blocks + 64);
    for (int i = 0; i < 20; i++)
        digest[i] = state[i / 4] >> (24 - 8 * (i % 4));
    for (int i = 0, o = 0; i < 21; i += 3) {
        uint32_t bits = (uint32_t)digest[i] << 16 | digest[i + 1] << 8 | digest[i + 2];
        for (int shift = 18; shift >= 0; shift -= 6)
            out[o++] = digits[bits >> shift & 63];
    }
    out[27] = '=';
    out[28] = 0;
}

/* --- what a connection does ------------------------------------------------------------------------------------ */

static void drop(struct connection *c)
{
    close(c->fd);
    free(c->in.data);
    free(c->out.data);
    free(c);
}

/* Sends what there is; returns 0 when the connection is broken. */
static int flush(struct connection *c)
{
    for (;;) {
        ssize_t n;
        if (c->out.start < c->out.end) {
            n = send(c->fd, c->out.data + c->out.start, c->out.end - c->out.start, MSG_NOSIGNAL | (c->body_left ? MSG_MORE : 0));
            if (n > 0)
                c->out.start += n;
        } else if (c->body_left) {
            n = send(c->fd, alphabet + c->body_at, c->body_left, MSG_NOSIGNAL);
            if (n > 0)
                c->body_at += n, c->body_left -= n;
        } else {
            n = 0;
        }
        if (n > 0)
            continue;
        if (n < 0 && errno != EAGAIN)
            return 0;
        int wanted = n < 0;
        if (wanted != c->watching_writes) {
            struct epoll_event event = {.events = wanted ? EPOLLOUT : EPOLLIN, .data.ptr = c};
            epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
            c->watching_writes = wanted;
        }
        return 1;
    }
}

static const char taken[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";

static void answer_request(struct connection *c, const char *head)
{
    char text[256];
    const char *key = strcasestr(head, "\r\nsec-websocket-key:");
    if (key) {
        char accept[29];
        key += 20;
        while (*key == ' ')
            key++;
        accept_value(key, accept);
        c->websocket = 1;
        append(&c->out, text, snprintf(text, sizeof text,
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept));
        return;
    }
    const char *length = strncmp(head, "POST ", 5) ? NULL : strcasestr(head, "\r\ncontent-length:");
    if (length) {
        const char *line = strstr(head, "\r\n"), *take = strstr(head, "/take ");
        c->posted = strtoul(length + 17, NULL, 10);
        c->taking = take && take < line;
        if (c->taking && c->posted)
            return;
        append(&c->out, text, snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n", c->posted));
        return;
    }
    unsigned long size = 2;
    const char *line = strstr(head, "\r\n"), *bytes = strstr(head, "/bytes/");
    if (!strncmp(head, "GET ", 4) && bytes && bytes < line)
        size = strtoul(bytes + 7, NULL, 10);
    if (size > LARGEST_BODY)
        size = LARGEST_BODY;
    append(&c->out, text, snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %lu\r\n\r\n", size));
    if (size <= 4096) {
        append(&c->out, alphabet, size);
    } else {
        c->body_left = size;
        c->body_at = 0;
    }
}

/* Echoes the first frame in the buffer; returns 0 when it is not complete yet. */
static int echo_frame(struct connection *c)
{
    unsigned char *p = c->in.data + c->in.start, *mask, head[10];
    size_t have = c->in.end - c->in.start, at = 2, length, head_length = 2;
    if (have < 2)
        return 0;
    length = p[1] & 127;
    if (length >= 126) {
        size_t digits = length == 126 ? 2 : 8;
        if (have < 2 + digits)
            return 0;
        for (length = 0; at < 2 + digits; at++)
            length = length << 8 | p[at];
    }
    mask = p + at;
    at += 4;
    if (have < at || have - at < length)
        return 0;
    head[0] = (p[0] & 15) == 9 ? 0x8a : p[0];
    if (length < 126) {
        head[1] = length;
    } else {
        int digits = length < 65536 ? 2 : 8;
        head[1] = digits == 2 ? 126 : 127;
        for (int i = digits - 1; i >= 0; i--)
            head[head_length++] = length >> (8 * i);
    }
    append(&c->out, head, head_length);
    reserve(&c->out, length);
    for (size_t i = 0; i < length; i++)
        c->out.data[c->out.end + i] = p[at + i] ^ mask[i & 3];
    c->out.end += length;
    c->in.start += at + length;
    return 1;
}

/* Serves what has arrived; a request waits while the answer to the one before it is being sent. */
static int serve(struct connection *c)
{
    for (;;) {
        if (!flush(c))
            return 0;
        if (c->watching_writes)
            return 1;
        if (c->websocket) {
            if (!echo_frame(c))
                return 1;
            while (echo_frame(c))
                ;
            continue;
        }
        if (c->posted) {
            size_t have = c->in.end - c->in.start, used = have < c->posted ? have : c->posted;
            if (!used)
                return 1;
            if (!c->taking)
                append(&c->out, c->in.data + c->in.start, used);
            c->in.start += used;
            c->posted -= used;
            if (c->taking && !c->posted)
                append(&c->out, taken, sizeof taken - 1);
            continue;
        }
        unsigned char *head = c->in.data + c->in.start;
        unsigned char *end = c->in.start < c->in.end ? memmem(head, c->in.end - c->in.start, "\r\n\r\n", 4) : NULL;
        if (!end)
            return 1;
        end[2] = 0;
        c->in.start += end + 4 - head;
        answer_request(c, (char *)head);
    }
}

static int readable(struct connection *c)
{
    reserve(&c->in, READ_SIZE);
    ssize_t n = recv(c->fd, c->in.data + c->in.end, READ_SIZE, 0);
    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    c->in.end += n;
    return serve(c);
}

static int listen_on(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, size) || listen(fd, 4096) || getsockname(fd, (struct sockaddr *)&address, &size)) {
        perror("backend: cannot listen");
        exit(1);
    }
    printf("ready %d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: backend PORT\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    alphabet = malloc(LARGEST_BODY);
    for (size_t i = 0; i < LARGEST_BODY; i++)
        alphabet[i] = 'a' + i % 26;
    poller = epoll_create1(0);
    int listener = listen_on(atoi(argv[1]));
    struct epoll_event events[256], event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(poller, events, 256, -1);
        for (int i = 0; i < count; i++) {
            struct connection *c = events[i].data.ptr;
            if (c) {
                if (!(c->watching_writes ? serve(c) : readable(c)))
                    drop(c);
                continue;
            }
            int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK), on = 1;
            if (fd < 0)
                continue;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            c = calloc(1, sizeof *c);
            c->fd = fd;
            event = (struct epoll_event){.events = EPOLLIN, .data.ptr = c};
            epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
        }
    }
}
