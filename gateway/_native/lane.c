/* Plain exchanges of one client connection, in C but for what is decided.

   A plain exchange: a GET, HEAD, OPTIONS or DELETE without a body, or a POST or PATCH with one of known length, whose head is
   regular and which is all of what was read, sent on an idle connection and answered there by a regular head, in one read,
   and a body of known length. Python is asked once where it goes and told once how it ended. Whatever is not like
   that, at whatever point, is handed over as it stands to the protocols, which go on as if there were no lane; they are
   the definition of all that is done here.

   So is a plain opening: the request for a WebSocket, sent on an idle connection or on one that Python makes for it, and
   a 101 that agrees to no subprotocol and no extension. Python has the two connections after that.

   `armed`: the client's next bytes may be a plain request. `request`: one waits for a connection. `backend`: one is on its
   way, and this is who answers. `left`: a response has begun, and more of it is to come. */

#include "lane.h"

#include "heads.h"
#include "reading.h"

#define MOST_HEAD (8 * 1024) /* what is added says some of it again */

/* Those of Python begin with 0 to 7. */
static unsigned long long last_number = 1ULL << 63;

static const Limits response_limits = {.head = 65536, .fields = MOST_FIELDS, .target = 0};

static const HeadsAPI *heads_api;

/* 0 if everything is there that this needs: bind() has been called, and the head parser is built. */
int
lane_prepare(void)
{
    if (heads_api == NULL) {
        PyObject *api = attribute_of("gateway._native.heads", "api");
        heads_api = api == NULL ? NULL : PyCapsule_GetPointer(api, HEADS_API);
        Py_XDECREF(api);
        fill_table();
    }
    if (heads_api != NULL && heads_are_bound())
        return 0;
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_RuntimeError, "bind() has not been called for a lane");
    return -1;
}

/* The first of these fields with a name, or NULL. */
static const Field *
field_called(const Field *at, const Field *end, const char *name, ptrdiff_t size)
{
    for (; at < end; at++)
        if (is(at->name, name, size))
            return at;
    return NULL;
}

#define FIELD_FROM(at, head, literal) field_called(at, (head)->fields + (head)->count, literal, sizeof(literal) - 1)
#define FIELD(head, literal) FIELD_FROM((head)->fields, head, literal)

/* One with a body is never sent again, so nobody needs to keep the body; without one, all of these may be. */
static int
is_plain_request(const Head *head, int method, long long body)
{
    static const char *const without_body[] = {"GET", "HEAD", "OPTIONS", "DELETE", NULL};
    static const char *const with_body[] = {"POST", "PATCH", NULL};
    if (method < 0 || head->upgrade || head->which[UPGRADE] >= 0 || head->which[CODING] >= 0
        || head->which[EXPECT] >= 0 || (head->which[LENGTH] >= 0) != (body > 0) || FIELD(head, "te") != NULL)
        return 0;
    for (const char *const *name = body > 0 ? with_body : without_body; *name != NULL; name++)
        if (strcmp(methods[method], *name) == 0)
            return 1;
    return 0;
}

static int
is_base64(Span text, ptrdiff_t digits)
{
    for (ptrdiff_t i = 0; i < text.size; i++) {
        const uint8_t byte = text.at[i], lower = byte | 0x20;
        const int digit = (lower >= 'a' && lower <= 'z') || (byte >= '0' && byte <= '9') || byte == '+' || byte == '/';
        if (i < digits ? !digit : byte != '=')
            return 0;
    }
    return 1;
}

/* The only field with a name, or NULL. */
static const Field *
only_field(const Head *head, const char *name, ptrdiff_t size)
{
    const Field *end = head->fields + head->count, *found = field_called(head->fields, end, name, size);
    return found == NULL || field_called(found + 1, end, name, size) != NULL ? NULL : found;
}

#define ONLY(head, literal) only_field(head, literal, sizeof(literal) - 1)

/* A valid opening handshake (RFC 6455 §4.2.1) in which no subprotocol has to be looked at. */
static int
is_plain_opening(Lane *self, const Head *head, int method)
{
    if (method < 0 || !head->upgrade || head->close || strcmp(methods[method], "GET") != 0 || head->which[CODING] >= 0
        || head->which[EXPECT] >= 0 || head->which[LENGTH] >= 0 || FIELD(head, "te") != NULL
        || FIELD(head, "sec-websocket-protocol") != NULL)
        return 0;
    const Field *key = ONLY(head, "sec-websocket-key"), *version = ONLY(head, "sec-websocket-version");
    if (key == NULL || version == NULL || key->value.size != KEY || !is_base64(key->value, KEY - 2)
        || !IS(version->value, "13"))
        return 0;
    memcpy(self->key, key->value.at, KEY);
    return 1;
}

/* Whether this stream can be written to and read from here. */
static int
can_answer(const Lane *self, PyObject *found)
{
    if (!PyObject_TypeCheck(found, stream_type))
        return 0;
    const Stream *stream = (Stream *)found;
    return stream->loop == self->client->loop && stream_is_own(stream) && stream->connected && stream->direct
        && !stream->deaf && stream->bridge == NULL && stream->lane == NULL;
}

void
lane_detach(Lane *self)
{
    Stream *backend = self->backend;
    Py_CLEAR(self->request);
    if (backend != NULL) {
        self->backend = NULL;
        backend->lane = NULL;
        Py_DECREF((PyObject *)backend);
    }
}

/* What was read to the end of the arena, and must stay there although others may write meanwhile. */
typedef struct {
    Loop *loop;
    size_t at, size;
} Kept;

static Kept
keep(Loop *loop, Py_ssize_t size)
{
    const Kept kept = {loop, loop->used, (size_t)size};
    loop->used += kept.size;
    return kept;
}

static int
is_last(Kept kept)
{
    return kept.loop->used == kept.at + kept.size;
}

static void
let_go(Kept kept, int last)
{
    if (last)
        kept.loop->used = kept.at;
}

/* Send what was put, and `body`, a part of what is kept until then. A large one is not copied: it leaves with its head, at
   once. */
static int
send_out(Stream *stream, Span body, Kept kept)
{
    const Loop *loop = stream->loop;
    int last = is_last(kept);
    if (out.size + (size_t)body.size <= sizeof(out.bytes)) {
        PUT_SPAN(body);
        let_go(kept, last);
        return stream_write(stream, out.bytes, out.size, NULL);
    }
    int failed = stream_write(stream, out.bytes, out.size, NULL);
    const size_t used = loop->used;
    last = last && (stream->gathered || is_last(kept));
    if (!failed)
        failed = stream_write(stream, (const char *)body.at, (size_t)body.size, NULL);
    /* Python may have been told that it is not taken, and may have written something. */
    let_go(kept, last && !stream->gathered && loop->used == used);
    return failed;
}

static PyObject *
text_of(const Field *field)
{
    if (field == NULL)
        return PyUnicode_FromStringAndSize("", 0);
    return PyUnicode_DecodeLatin1((const char *)field->value.at, field->value.size, NULL);
}

/* The head of the request that is in it, as Python has heads; most are never asked for. */
PyObject *
lane_head(const Lane *self)
{
    Head head;
    Asked again = {.head = &head};
    if (self->asked != NULL)
        return heads_api->request(self->asked->head, self->asked->method, self->asked->target, self->asked->body);
    if (self->raw != NULL) {
        const uint8_t *data = (const uint8_t *)PyBytes_AsString(self->raw);
        again.method = read_request(&head, &again.target, &again.body, data, PyBytes_Size(self->raw), self->limits);
        if (again.method >= 0)
            return heads_api->request(&head, again.method, again.target, again.body);
    }
    PyErr_SetString(PyExc_RuntimeError, "there is no request");
    return NULL;
}

/* This is who gets the request, if it can be written to from here. */
static int
takes_off(Lane *self, PyObject *found)
{
    if (self->client == NULL || !can_answer(self, found))
        return 0;
    Py_INCREF(found);
    self->backend = (Stream *)found;
    self->backend->lane = self;
    return 1;
}

/* There is a connection for the request that waits, if one does. */
int
lane_go(Lane *self, PyObject *found)
{
    PyObject *request = self->request;
    if (request == NULL)
        return 0;
    self->request = NULL;
    const int failed = takes_off(self, found)
                           ? stream_write(self->backend, PyBytes_AsString(request), (size_t)PyBytes_Size(request), request)
                           : tell((PyObject *)self, names.send, NULL);
    Py_DECREF(request);
    return failed;
}

/* Let Python decide, and send, now or when there is a connection. As `ask`. */
static int
pass_on(Lane *self, PyObject *host, Kept kept)
{
    PyObject *found = PyObject_CallMethodObjArgs((PyObject *)self, names.decide, host, NULL);
    self->asked = NULL;
    int done = found == NULL ? -1 : 1;
    if (found == (PyObject *)self) {
        self->request = PyBytes_FromStringAndSize(out.bytes, (Py_ssize_t)out.size);
        done = self->request == NULL ? -1 : 1;
    } else if (done > 0 && found != Py_None) {
        if (takes_off(self, found)) {
            Py_DECREF(found);
            return send_out(self->backend, self->body, kept) < 0 ? -1 : 1;
        }
        if (tell((PyObject *)self, names.send, NULL) < 0)
            done = -1;
    }
    Py_XDECREF(found);
    let_go(kept, is_last(kept));
    return done;
}

/* The client has sent this: 1 if it was a plain request, 0 if nothing was done, -1 with an exception set. */
static int
ask(Lane *self, const char *data, Py_ssize_t size)
{
    Head head;
    Span target;
    long long body;
    const char *end = memmem(data, (size_t)size, "\r\n\r\n", 4);
    if (end == NULL || end - data > MOST_HEAD || !self->client->direct)
        return 0;
    end += 4;
    const int method = read_request(&head, &target, &body, (const uint8_t *)data, end - data, self->limits);
    self->opening = (char)is_plain_opening(self, &head, method);
    if (!(self->opening || is_plain_request(&head, method, body)) || body != data + size - end || body > self->most_body)
        return 0;
    self->number = ++last_number;
    self->body.at = (const uint8_t *)end;
    self->body.size = (ptrdiff_t)body;
    int done = put_request(self, &head, methods[method], target);
    if (done > 0) {
        self->received = size;
        self->sent = (Py_ssize_t)out.size + self->body.size;
        self->armed = 0;
        self->left = 0;
        self->closing = (char)head.close;
        self->careful = body > 0;
        self->asks_head = strcmp(methods[method], "HEAD") == 0;
        const Asked asked = {&head, target, method, body};
        PyObject *host = text_of(&head.fields[head.which[HOST]]);
        Py_CLEAR(self->raw);
        self->raw = PyBytes_FromStringAndSize(data, end - data);
        self->asked = &asked;
        done = host == NULL || self->raw == NULL ? -1 : pass_on(self, host, keep(self->client->loop, size));
        self->asked = NULL;
        Py_XDECREF(host);
        if (!lane_is_flying(self))
            Py_CLEAR(self->raw);
    }
    self->body.size = 0;
    return done;
}

static int
tell_ended(Lane *self)
{
    const int failed = tell((PyObject *)self, names.ended, NULL);
    Py_CLEAR(self->raw);
    Py_CLEAR(self->kind);
    return failed ? -1 : 1;
}

/* A length is -2 where none is told; of a response without a body it is that of another (RFC 9110 §8.6). */
static int
is_plain_response(const Lane *self, const Head *head, int status, long long length, Py_ssize_t size)
{
    if (status < 200 || status == 426 || head->close || head->upgrade || head->which[CODING] >= 0)
        return 0;
    if (status == 204)
        return length < 0 && !size;
    if (self->asks_head || status == 304)
        return !size;
    return length >= size;
}

/* So much of the response is about to be passed on; the backend has done its part with the last of it. */
static int
note_passed(Lane *self, long long size)
{
    self->passed += size;
    if (self->left)
        return tell((PyObject *)self, names.goes_on, NULL);
    lane_detach(self);
    self->armed = !self->closing;
    return 0;
}

/* The backend has agreed to open the WebSocket, and Python gets both connections: as `ask`. */
static int
open_up(Lane *self, const Head *head, Span reason, Span early, Py_ssize_t size)
{
    const Field *accept = ONLY(head, "sec-websocket-accept");
    if (!head->upgrade || head->close || head->which[CODING] >= 0 || head->which[LENGTH] >= 0 || accept == NULL
        || FIELD(head, "sec-websocket-protocol") != NULL || FIELD(head, "sec-websocket-extensions") != NULL)
        return 0;
    int done = is_accepted(self, accept->value);
    if (done > 0)
        done = put_response(self, head, 101, reason, -1, 1);
    if (done <= 0)
        return done;
    PyObject *rest = PyBytes_FromStringAndSize((const char *)early.at, early.size);
    if (rest == NULL)
        return -1;
    self->status = 101;
    self->answered = size;
    self->passed = (long long)out.size;
    lane_detach(self);
    const int failed = stream_write(self->client, out.bytes, out.size, NULL) < 0
                       || tell((PyObject *)self, names.opened, rest) < 0;
    Py_DECREF(rest);
    return failed ? -1 : 1;
}

/* The backend has sent the beginning of a response, or all of it: as `ask`. */
static int
answer(Lane *self, const char *data, Py_ssize_t size)
{
    Head head;
    Span reason;
    long long length;
    if (!self->client->direct)
        return 0;
    const char *end = memmem(data, (size_t)size, "\r\n\r\n", 4);
    if (end == NULL)
        return 0;
    end += 4;
    const Span body = {(const uint8_t *)end, data + size - end};
    const int status = read_response(&head, &reason, &length, (const uint8_t *)data, end - data, response_limits);
    if (self->opening)
        return status == 101 ? open_up(self, &head, reason, body, size) : 0;
    if (!is_plain_response(self, &head, status, length, body.size))
        return 0;
    const Field *type = FIELD(&head, "content-type");
    if (type != NULL && FIELD_FROM(type + 1, &head, "content-type") != NULL)
        return 0;
    PyObject *kind = text_of(type);
    if (kind == NULL)
        return -1;
    const int done = put_response(self, &head, status, reason, length, FIELD(&head, "date") != NULL);
    if (done <= 0) {
        Py_DECREF(kind);
        return done;
    }
    Py_XDECREF(self->kind);
    self->kind = kind;
    self->status = status;
    self->left = length > body.size && !self->asks_head && status != 304 ? length - body.size : 0;
    self->answered = size;
    self->passed = 0;
    const int whole = !self->left;
    if (note_passed(self, (long long)out.size + body.size) < 0
        || send_out(self->client, body, keep(self->client->loop, size)) < 0)
        return -1;
    return whole ? tell_ended(self) : 1;
}

/* So much more of its body has come; `data` is what is to be written of that. */
static int
take(Lane *self, Py_ssize_t count, const char *data, Py_ssize_t size, PyObject *owner)
{
    self->left -= count;
    self->answered += count;
    const int whole = !self->left;
    if (note_passed(self, count) < 0 || stream_write(self->client, data, (size_t)size, owner) < 0)
        return -1;
    return whole ? tell_ended(self) : 1;
}

/* More of its body, where much of it is there, which need not be looked at. */
static int
move_on(Lane *self, Stream *backend)
{
    PyObject *rest;
    const ssize_t count = stream_splice(backend, self->client, (size_t)self->left, &rest);
    if (count <= 0)
        return (int)count;
    const int done = take(self, count, PyBytes_AsString(rest), PyBytes_Size(rest), rest);
    Py_DECREF(rest);
    return done;
}

/* More of its body. It is at the end of the arena, so that writing it need not move it. */
static int
go_on(Lane *self, const char *data, Py_ssize_t size)
{
    if (!self->client->direct || size > self->left)
        return 0;
    return take(self, size, data, size, NULL);
}

/* What is not plain goes to the protocol, after those who know of the exchange have heard of it. */
static int
hand_over(Lane *self, Stream *stream, const char *data, Py_ssize_t size)
{
    PyObject *bytes = PyBytes_FromStringAndSize(data, size);
    if (bytes == NULL)
        return -1;
    self->armed = 0;
    int failed = lane_is_flying(self) ? tell((PyObject *)self, names.resume, NULL) : 0;
    if (!failed)
        failed = stream_deliver(stream, bytes);
    Py_DECREF(bytes);
    return failed;
}

/* This was read from a stream: 1, or -1 with an exception set. */
static int
has_said(Lane *self, Stream *stream, const char *data, Py_ssize_t size)
{
    int done = 0;
    if (stream != self->client)
        done = self->left ? go_on(self, data, size) : answer(self, data, size);
    else if (self->armed)
        done = ask(self, data, size);
    if (done == 0)
        done = hand_over(self, stream, data, size) < 0 ? -1 : 1;
    return done;
}

/* Something happened at the client's stream or at the backend's. */
int
lane_event(Stream *stream, int end)
{
    Lane *self = stream->lane;
    ssize_t count = 0;
    Py_INCREF((PyObject *)self);
    int done = stream != self->client && self->left ? move_on(self, stream) : 0;
    if (!done && (count = stream_read(stream)) > 0)
        done = has_said(self, stream, free_space(stream->loop), count);
    Py_DECREF((PyObject *)self);
    if (done < 0)
        return stream_protocol_raised(stream);
    return done ? stream_has_read(stream, count, end) : (int)count;
}

PyObject *
lane_of_client(const Stream *stream)
{
    return stream->lane != NULL && stream->lane->client == stream ? (PyObject *)stream->lane : NULL;
}

/* The client's stream is no more. */
void
lane_forget(Stream *stream)
{
    Lane *self = stream->lane;
    if (self != NULL && self->client == stream) {
        self->client = NULL;
        stream->lane = NULL;
        lane_detach(self);
        Py_DECREF((PyObject *)self);
    }
}
