/* The pump in C: `Loop` (loop.c), `Stream` (stream.c, splice.c, producer.c, ending.c), `Bridge` (bridge.c), `Lane` (lane.h)
   and functions for sockets (sockets.c), one extension module (pump.c).

   Loop and Stream are twins of gateway/transport/loop.py and stream.py and do the same in the same order; what is rare
   is a call of a method that a Python subclass has. A Bridge has no class in Python: it does what a tunnel's protocols
   do between two transports, as long as nothing happens that Python must hear of.

   The types are kept in globals: subclasses in Python cannot find their module under the limited API of 3.11, and there
   is one interpreter. */

#ifndef GATEWAY_PUMP_H
#define GATEWAY_PUMP_H

#include "frames.h"
#include "twin.h"

#include <errno.h>
#include <stdint.h>
#include <structmember.h>
#include <sys/epoll.h>

#pragma GCC visibility push(hidden)

#define ARENA (512 * 1024) /* bytes that wait for the end of the round, of all streams together */
#define GATHERED (32 * 1024) /* of one stream */
#define SMALL_READ (16 * 1024)
#define LARGE_READ (96 * 1024) /* with more, what was read has left the cache before it is sent */
#define SPLICED (1024 * 1024) /* at once; a pipe that Linux lets everybody have holds so much */
#define SPLICED_LEAST (64 * 1024) /* less is copied faster */

typedef struct Stream Stream;
typedef struct Bridge Bridge;
typedef struct Lane Lane;

typedef struct {
    PyObject *rider;
    char is_stream;
} Seat;

typedef struct {
    PyObject_HEAD
    int epoll;       /* -1 while there is none */
    int nested;      /* the epoll that is watched besides, -1 without one */
    char turning;
    double now;      /* monotonic seconds when this round began */
    Seat *seats;     /* by descriptor */
    int seat_count, riders;
    PyObject **ready; /* a ring of those who want another look */
    size_t ready_first, ready_count, ready_size;
    PyObject *closing; /* list of streams whose sockets are to be closed */
    PyObject *later, *last; /* lists of calls */
    Stream **outbox;
    size_t outbox_count, outbox_size;
    char *arena;     /* what will be sent at the end of the round; its rest is where streams read to */
    size_t used;
} Loop;

struct Stream {
    PyObject_HEAD
    Loop *loop;
    PyObject *sock;      /* Python's object for the socket, where one was given or asked for */
    PyObject *protocol;
    PyObject *peer, *local, *queue, *producer, *factory, *reason, *write_error; /* the subclass's */
    Bridge *bridge;      /* where bytes go instead of the protocol */
    Lane *lane;          /* where they go first */
    size_t at, gathered; /* what waits in the arena */
    Py_ssize_t queued;
    Py_ssize_t unsent;
    int fd, size;
    int broke; /* errno where reading from OpenSSL has failed, 0 without one; -1 if it has not */
    char connected, direct, deaf, end_seen, pulls, waiting;
    char own_event, own_send; /* a subclass in Python has other methods */
    char unread;              /* of what was there, not all has been read */
    char owned;               /* the descriptor is to be closed here */
    char closing_write, disconnecting, more, paused, producer_paused, quiet, read_closed, streaming, write_closed;
    void *ssl;                /* OpenSSL's connection, which is used instead of those methods */
};

struct Bridge {
    PyObject_HEAD
    Stream *source, *target;
    PyObject *scanner, *owner;
    unsigned long long count;
    double last;
};

/* Names of methods, made once. */
#define METHODS(_) \
    _(again) _(bridge_ended) _(close) _(connectionLost) _(dataReceived) _(decide) _(detach) _(doStop) _(ended) _(event) _(goes_on) _(opened) _(resume) _(send) _(stopProducing) \
    _(waiting) _(_call_failed) _(_close) _(_close_socket) _(_closed) _(_end_failed) _(_ended) _(_enqueue) _(_flush) \
    _(_half_close) _(_lose) _(_note_unread) _(_opened) _(_protocol_raised) _(_pull) _(_read) _(_read_ended) \
    _(_register) _(_rider_failed) _(_say_goodbye) _(_send_now) _(_sock) _(_wake) _(_write_failed)
#define DECLARE(name) PyObject *name;
typedef struct {
    METHODS(DECLARE)
} Names;
extern Names names;

extern PyTypeObject *loop_type, *stream_type, *bridge_type, *lane_type;
extern PyType_Spec loop_spec, stream_spec, bridge_spec, lane_spec;
extern PyObject *reason_of; /* gateway.transport.sockets.lost */
extern PyObject *socket_of; /* gateway.transport.sockets.socket_of */
extern const FramesAPI *frames_api; /* NULL where that module is not there */

/* All return -1 with an exception set if one was raised that the caller must handle. */

static inline int
is_there(const PyObject *object)
{
    return object != NULL && object != Py_None;
}

double monotonic(void);
PyObject *caught(void);
int tell(PyObject *object, PyObject *method, PyObject *argument);
int soon(Loop *loop, PyObject *rider);
int send_all(Loop *loop);
int to_outbox(Loop *loop, Stream *stream);
int loop_end(Loop *loop, Stream *stream);
int loop_remove(Loop *loop, int fd);

/* The end of the arena, where LARGE_READ bytes may be read to, to be written from there. */
static inline char *
free_space(Loop *loop)
{
    return loop->arena + loop->used;
}

int stream_event(Stream *self, int events);
int stream_deliver(Stream *self, PyObject *data);
int stream_again(Stream *self);
ssize_t stream_read(Stream *self);
int stream_has_read(Stream *self, Py_ssize_t count, int end);
int stream_send_gathered(Stream *self);
int stream_send_last(Stream *self);
int stream_write(Stream *self, const char *data, size_t size, PyObject *owner);
/* Send what `source` has to `target` without reading it: how many bytes; 0 where it has to be read, as where it is more than
   `most`. Where there are some, `rest` is bytes that `target` has not taken of them and that must be written to it. */
ssize_t stream_splice(Stream *source, Stream *target, size_t most, PyObject **rest);
int stream_lost(Stream *self, int number);
int stream_protocol_raised(Stream *self);
int stream_call_with(Stream *self, PyObject *method, const char *data, size_t size, PyObject *owner);

/* Whether this stream's events and writes are served in C. */
static inline int
stream_is_own(const Stream *self)
{
    return !self->own_event || self->ssl != NULL;
}

ssize_t tls_read(Stream *self);
int tls_send(Stream *self, const char *data, size_t size, PyObject *owner);
PyObject *tls_functions(PyObject *args);
PyObject *tls_secure(PyObject *object, PyObject *address);

int bridge_move(Bridge *self, int end);
PyObject *bridge_made(PyObject *args);

int lane_event(Stream *stream, int end);
void lane_forget(Stream *stream);
PyObject *lane_of_client(const Stream *stream);
void lane_bind(PyObject *const *lent);

void ending_bind(PyObject *const *lent);
PyObject *ending_lose_connection(PyObject *object, PyObject *none);
PyObject *ending_finish(PyObject *object, PyObject *none);
PyObject *ending_say_goodbye(PyObject *object, PyObject *none);
PyObject *ending_lose(PyObject *object, PyObject *reason);
PyObject *ending_tell(PyObject *object, PyObject *none);
PyObject *ending_close_socket(PyObject *object, PyObject *none);

PyObject *producer_register(PyObject *object, PyObject *args, PyObject *named);
PyObject *producer_unregister(PyObject *object, PyObject *none);

extern PyMethodDef socket_functions[]; /* accept, begin, reached */
extern PyObject *begin_in_python;      /* the twin of begin */

#pragma GCC visibility pop
#endif
