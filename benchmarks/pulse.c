/* A steady pulse: sends a WebSocket message of 64 bytes over each of its roads, so many times a second, and notes when
 * an echo is late.
 *
 *     pulse RATE SECONDS [PORT ...]
 *
 * Every message counts from when it was due, and none waits for the one before.  The first road is none: it is how late
 * this process itself was, which is all there is without a port. Prints "start" and one line of JSON at the end, a list
 * with one object for each road:
 * {"count": echoes, "p50_us": ..., "p99_us": ..., "p999_us": ..., "max_us": ..., "missing": messages without an echo,
 *  "stalls": [[when the first late message was due, in seconds of CLOCK_MONOTONIC, how late in seconds], ...]}
 * A stall is whatever takes longer than 5 ms; those that were due before its end belong to it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ROADS 8
#define LATE 0.005
#define MOST_STALLS 10000
#define BUCKETS 600 /* each is 3 % wider than the one before, from 1 microsecond */
#define SIZE 64

struct road {
    int fd;
    size_t arrived; /* bytes of echoes */
    long count, late, latencies[BUCKETS];
    double slowest, stalls[MOST_STALLS][2];
};

static struct road roads[ROADS];
static double began, step;
static unsigned char message[6 + SIZE], echo[2 + SIZE];

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what)
{
    fprintf(stderr, "pulse: %s (%s)\n", what, strerror(errno));
    exit(1);
}

static int dial(int port)
{
    static const char upgrade[] = "GET /echo HTTP/1.1\r\nHost: bench.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                                  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char answer[2048];
    size_t have = 0;
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (connect(fd, (struct sockaddr *)&address, sizeof address))
        fail("cannot connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (send(fd, upgrade, sizeof upgrade - 1, MSG_NOSIGNAL) < 0)
        fail("cannot send the handshake");
    do {
        ssize_t n = recv(fd, answer + have, sizeof answer - 1 - have, 0);
        if (n <= 0)
            fail("no answer to the handshake");
        have += n;
        answer[have] = 0;
    } while (!strstr(answer, "\r\n\r\n"));
    if (strncmp(answer, "HTTP/1.1 101", 12))
        fail("the handshake was refused");
    return fd;
}

static void note(struct road *road, double due, double seconds)
{
    double bound = 1e-6;
    int bucket = 0;
    while (bucket < BUCKETS - 1 && seconds > bound)
        bound *= 1.03, bucket++;
    road->latencies[bucket]++;
    road->count++;
    if (seconds > road->slowest)
        road->slowest = seconds;
    double *last = road->late ? road->stalls[road->late - 1] : NULL;
    if (seconds > LATE && (!last || due > last[0] + last[1]) && road->late < MOST_STALLS) {
        road->stalls[road->late][0] = due;
        road->stalls[road->late++][1] = seconds;
    }
}

/* Echoes come in the order of their messages, so the number of one says when its message was due. */
static void receive(struct road *road)
{
    unsigned char bytes[65536];
    ssize_t n = recv(road->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        fail("a connection was lost");
    double at = now();
    for (ssize_t i = 0; i < n; i++) {
        if (bytes[i] != echo[road->arrived % sizeof echo])
            fail("that is not what was sent");
        if (++road->arrived % sizeof echo == 0) {
            double due = began + (road->arrived / sizeof echo - 1) * step;
            note(road, due, at - due);
        }
    }
}

static void wait_until(double due, struct pollfd *set, int count)
{
    double left = due - now();
    struct timespec most = {.tv_sec = (time_t)(left > 0 ? left : 0)};
    most.tv_nsec = left > 0 ? (long)((left - most.tv_sec) * 1e9) : 0;
    if (ppoll(set, count, &most, NULL) > 0)
        for (int i = 0; i < count; i++)
            if (set[i].revents)
                receive(&roads[i + 1]);
}

static int all_back(int count, long sent)
{
    for (int i = 1; i <= count; i++)
        if (roads[i].count < sent)
            return 0;
    return 1;
}

static double percentile(const struct road *road, double share)
{
    long seen = 0;
    double bound = 1;
    for (int i = 0; i < BUCKETS; i++, bound *= 1.03)
        if ((seen += road->latencies[i]) >= share * road->count)
            return bound;
    return bound;
}

static void tell(const struct road *road, long sent)
{
    printf("{\"count\": %ld, \"p50_us\": %.0f, \"p99_us\": %.0f, \"p999_us\": %.0f, \"max_us\": %.0f, \"missing\": %ld, \"stalls\": [",
           road->count, percentile(road, 0.5), percentile(road, 0.99), percentile(road, 0.999), road->slowest * 1e6, sent - road->count);
    for (long i = 0; i < road->late; i++)
        printf("%s[%.6f, %.6f]", i ? ", " : "", road->stalls[i][0], road->stalls[i][1]);
    printf("]}");
}

int main(int argc, char **argv)
{
    struct pollfd set[ROADS];
    int count = argc - 3;
    if (argc < 3 || count >= ROADS) {
        fprintf(stderr, "usage: pulse RATE SECONDS [PORT ...]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_TIMERSLACK, 1);
    step = 1 / atof(argv[1]);
    static const unsigned char key[4] = {0x37, 0xfa, 0x21, 0x3d};
    message[0] = echo[0] = 0x82;
    message[1] = 0x80 | SIZE;
    echo[1] = SIZE;
    memcpy(message + 2, key, 4);
    for (int i = 0; i < SIZE; i++) {
        echo[2 + i] = 'a' + i % 26;
        message[6 + i] = echo[2 + i] ^ key[i & 3];
    }
    for (int i = 0; i < count; i++)
        set[i] = (struct pollfd){.fd = roads[i + 1].fd = dial(atoi(argv[i + 3])), .events = POLLIN};
    puts("start");
    fflush(stdout);
    began = now() + step;
    long sent = 0, most = (long)(atof(argv[2]) / step);
    for (; sent < most; sent++) {
        double due = began + sent * step;
        while (now() < due)
            wait_until(due, set, count);
        note(&roads[0], due, now() - due);
        for (int i = 0; i < count; i++)
            if (send(set[i].fd, message, sizeof message, MSG_NOSIGNAL) != sizeof message)
                fail("a connection was lost");
        if (now() >= due + step)
            wait_until(0, set, count); /* late: take what has come before going on */
    }
    for (double end = now() + 2; now() < end && !all_back(count, sent);)
        wait_until(end, set, count);
    putchar('[');
    for (int i = 0; i <= count; i++) {
        if (i)
            fputs(", ", stdout);
        tell(&roads[i], sent);
    }
    puts("]");
    return 0;
}
