/* What the parts of `Lane` share: the exchange (lane.c), the heads that it sends (lane_heads.c), and what Python sees of
   it (lane_type.c). */

#ifndef GATEWAY_LANE_H
#define GATEWAY_LANE_H

#include "pump.h"
#include "spans.h"

#pragma GCC visibility push(hidden)

#define PREFIX 16 /* hex digits of a trace id before its number */
#define TRACE_ID (PREFIX + 16)
#define KEY 24 /* characters of a Sec-WebSocket-Key */

/* A request's head that has been read. */
typedef struct {
    const Head *head;
    Span target;
    int method;
    long long body;
} Asked;

struct Lane {
    PyObject_HEAD
    Stream *client; /* not owned: it owns the lane, until one of them ends */
    Stream *backend;
    PyObject *known;  /* bytes: field lines that are the same for every request of this client */
    PyObject *raw;    /* bytes: the request's head, as it was read */
    PyObject *request; /* bytes: as it will go on, while it waits for a connection */
    const Asked *asked; /* the same, while it is decided where the request goes */
    Limits limits;
    long long most_body;       /* of a request */
    Py_ssize_t received, sent; /* of the request: from the client, to the backend */
    Span body;                 /* of the request, while it is being sent */
    PyObject *kind;            /* str: the response's Content-Type, while it is passed on */
    long long left;            /* of its body, after that */
    long long answered, passed; /* of the response: from the backend, to the client */
    int status;
    unsigned long long number; /* of its trace id, which begins with: */
    char prefix[PREFIX];
    char key[KEY]; /* of the WebSocket that the request opens */
    char armed, closing, careful, asks_head, opening;
};

/* Whether a request is on its way, or waits for that. */
static inline int
lane_is_flying(const Lane *self)
{
    return self->backend != NULL || self->request != NULL;
}

int lane_prepare(void);
void lane_detach(Lane *self);
PyObject *lane_head(const Lane *self);
int lane_go(Lane *self, PyObject *found);

/* What is to be sent: a head, and what follows it. One for all lanes, for it is sent before anything else is put. */
typedef struct {
    char bytes[GATHERED];
    size_t size;
    int full; /* something was left out */
} Out;

extern Out out;

void put(const void *at, size_t size);
#define PUT(literal) put(literal, sizeof(literal) - 1)
#define PUT_SPAN(span) put((span).at, (size_t)(span).size)

/* Put a whole head in place of what was there. They return 1, 0 where it has no room, or -1 with an exception set. */
int put_request(const Lane *self, const Head *head, const char *method, Span target);
int put_response(const Lane *self, const Head *head, int status, Span reason, long long length, int dated);

/* Whether this Sec-WebSocket-Accept answers the request's key; -1 with an exception set. */
int is_accepted(const Lane *self, Span accept);

void write_trace_id(const Lane *self, char id[TRACE_ID]);
int heads_are_bound(void);

#pragma GCC visibility pop
#endif
