/* The C twin of `FrameScanner` in gateway/websocket/frames.py: the same steps in the same order, so that it says the
   same of every sequence of chunks. Lengths are unsigned 64-bit numbers; what a frame claims is at most 2^63 - 1.

   Positions count from the first byte of a frame header of which some bytes came in earlier chunks (`held`); the
   others are read where they are, in the chunk. */

#include "frames.h"
#include "twin.h"

#include <stdint.h>
#include <structmember.h>

#define LONGEST_CLOSE (4 + 125) /* masking key and payload */

enum { CONTINUATION, CONTINUATION_END, START, WHOLE, CLOSE, PING, PONG, BAD };
enum { FRAME_ERROR, BOUND };
static const char *const bound_names[] = {"FrameError", NULL};

typedef struct {
    PyObject *bound[BOUND];
} State;

typedef struct {
    PyObject_HEAD
    uint64_t left;           /* bytes of the frame in progress that are still to come */
    uint64_t size;           /* payload so far of the message in fragments */
    uint64_t over;           /* a message must be shorter than this */
    unsigned long long after; /* bytes of the last chunk that follow a close frame */
    unsigned long long frames, messages;
    PyObject *close_reason;
    uint8_t *close;          /* masking key and payload of a close frame in progress */
    uint8_t close_size;
    uint8_t held[10];        /* an incomplete frame header, up to the length */
    uint8_t held_size;
    uint8_t kind;            /* of the frame in progress */
    uint8_t mask;            /* 0x80 if frames must be masked */
    uint8_t overhead;        /* 4 if they are: the masking key is skipped together with the payload */
    uint8_t reserved;        /* the RSV bits that may be used */
    char fragmented;         /* a message has begun and not ended */
    char torn;               /* the first bytes of a frame at fault were fed earlier */
    char closed;
    int close_code;          /* -1: none yet */
} Scanner;

typedef struct {
    const uint8_t *held, *data;
    uint64_t before, total; /* bytes in `held`, bytes in both */
} Chunk;

static inline uint8_t
byte_at(const Chunk *chunk, uint64_t position)
{
    return position < chunk->before ? chunk->held[position] : chunk->data[position - chunk->before];
}

static uint8_t
kind_of(uint8_t first)
{
    switch (first & 0x8f) {
    case 0x00:
        return CONTINUATION;
    case 0x80:
        return CONTINUATION_END;
    case 0x01:
    case 0x02:
        return START;
    case 0x81:
    case 0x82:
        return WHOLE;
    case 0x88:
        return CLOSE;
    case 0x89:
        return PING;
    case 0x8a:
        return PONG;
    default:
        return BAD;
    }
}

/* That of the module that the type, or a base of it, is from. */
static State *
state_of(PyTypeObject *type)
{
    State *state = NULL;
    for (; type != NULL && (state = PyType_GetModuleState(type)) == NULL; type = PyType_GetSlot(type, Py_tp_base))
        PyErr_Clear();
    return state;
}

/* Raise a FrameError; returns -1. */
static int
fault(Scanner *self, int code, const char *reason, uint64_t first, uint64_t before)
{
    State *state = state_of(Py_TYPE((PyObject *)self));
    self->torn = first < before;
    if (state == NULL || state->bound[FRAME_ERROR] == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "FrameError has not been bound");
        return -1;
    }
    Py_ssize_t offset = first < before ? 0 : (Py_ssize_t)(first - before);
    PyObject *type = state->bound[FRAME_ERROR];
    PyObject *error = PyObject_CallFunction(type, "isn", code, reason, offset);
    if (error != NULL) {
        PyErr_SetObject(type, error);
        Py_DECREF(error);
    }
    return -1;
}

static void
forget_close(Scanner *self)
{
    PyMem_Free(self->close);
    self->close = NULL;
    self->close_size = 0;
}

/* Keep bytes of a close frame, which are at most LONGEST_CLOSE by its length. */
static void
keep_close(Scanner *self, const Chunk *chunk, uint64_t position, uint64_t end)
{
    for (; position < end && position < chunk->total && self->close_size < LONGEST_CLOSE; position++)
        self->close[self->close_size++] = byte_at(chunk, position);
}

/* Whether a close frame may have this code (RFC 6455 §7.4 and the IANA registry). */
static int
may_be_sent(int code)
{
    return (code >= 3000 && code <= 4999)
           || (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006);
}

static int
read_close(Scanner *self, uint64_t first, uint64_t before)
{
    uint8_t payload[LONGEST_CLOSE];
    int size = self->close_size - self->overhead, code = 1005;
    for (int i = 0; i < size; i++) {
        payload[i] = self->close[self->overhead + i];
        if (self->overhead)
            payload[i] ^= self->close[i % 4];
    }
    forget_close(self);
    if (size >= 2) {
        code = payload[0] << 8 | payload[1];
        if (!may_be_sent(code))
            return fault(self, 1002, "a close code that may not be sent", first, before);
    }
    PyObject *reason = PyBytes_FromStringAndSize((const char *)payload + 2, size > 2 ? size - 2 : 0);
    if (reason == NULL)
        return -1;
    PyObject *old = self->close_reason;
    self->close_reason = reason;
    Py_XDECREF(old);
    self->close_code = code;
    self->closed = 1;
    return 0;
}

/* The frame in progress has passed. */
static int
complete(Scanner *self, uint64_t first, uint64_t before)
{
    if (self->kind == CLOSE) {
        if (read_close(self, first, before) < 0)
            return -1;
    } else {
        self->messages += self->kind == CONTINUATION_END || self->kind == WHOLE;
    }
    self->frames++;
    return 0;
}

/* A frame that needs more than counting has begun. */
static void
begin(Scanner *self, uint8_t kind, uint64_t length)
{
    self->kind = kind;
    if (kind == START) {
        self->fragmented = 1;
        self->size = length;
    } else if (kind == CONTINUATION) {
        self->size += length;
    } else if (kind < CLOSE) {
        self->fragmented = 0;
        self->size = 0;
    }
}

static void
hold(Scanner *self, const Chunk *chunk, uint64_t first)
{
    self->held_size = 0;
    for (; first < chunk->total && self->held_size < sizeof(self->held); first++)
        self->held[self->held_size++] = byte_at(chunk, first);
}

/* Read frames from where a header begins. */
static int
scan(Scanner *self, const Chunk *chunk, uint64_t position)
{
    const uint64_t total = chunk->total, before = chunk->before;
    self->after = 0;
    if (self->closed) {
        self->after = total - position;
        return 0;
    }
    while (position < total) {
        const uint64_t first = position;
        const uint8_t opening = byte_at(chunk, position), kind = kind_of(opening);
        if (kind == BAD || (opening & 0x70 & ~self->reserved))
            return fault(self, 1002, "reserved bits or opcode", first, before);
        if (position + 1 == total) {
            hold(self, chunk, first);
            return 0;
        }
        const uint8_t second = byte_at(chunk, position + 1);
        if ((second & 0x80) != self->mask)
            return fault(self, 1002, second & 0x80 ? "a masked frame" : "an unmasked frame", first, before);
        uint64_t length = second & 0x7f;
        position += 2;
        if (length > 125) {
            if (kind >= CLOSE)
                return fault(self, 1002, "a control frame longer than 125 bytes", first, before);
            const uint64_t end = position + (length == 126 ? 2 : 8), least = length == 126 ? 126 : 65536;
            if (end > total) {
                hold(self, chunk, first);
                return 0;
            }
            length = 0;
            for (; position < end; position++)
                length = length << 8 | byte_at(chunk, position);
            if (length < least)
                return fault(self, 1002, "a length in more bytes than it needs", first, before);
            if (length >> 63)
                return fault(self, 1002, "a length with its top bit set", first, before);
        }
        if (kind < CLOSE) {
            if ((kind < START) != self->fragmented)
                return fault(self, 1002, "a continuation of nothing, or a message inside another", first, before);
            if (self->size >= self->over || length >= self->over - self->size)
                return fault(self, 1009, "message too big", first, before);
        }
        const uint64_t end = position + self->overhead + length;
        if (kind == WHOLE && end <= total) {
            self->frames++;
            self->messages++;
            position = end;
            continue;
        }
        begin(self, kind, length);
        if (kind == CLOSE) {
            if (length == 1)
                return fault(self, 1002, "a close frame with half a code", first, before);
            forget_close(self);
            self->close = PyMem_Malloc(LONGEST_CLOSE);
            if (self->close == NULL) {
                PyErr_NoMemory();
                return -1;
            }
            keep_close(self, chunk, position, end);
        }
        if (end > total) {
            self->left = end - total;
            return 0;
        }
        position = end;
        if (complete(self, first, before) < 0)
            return -1;
        if (kind == CLOSE) {
            self->after = total - position;
            return 0;
        }
    }
    return 0;
}

static int
take(Scanner *self, const uint8_t *data, uint64_t size)
{
    uint8_t held[sizeof(self->held)];
    Chunk chunk = {held, data, 0, size};
    uint64_t position = 0;
    if (self->left) {
        const uint64_t left = self->left;
        if (self->close != NULL)
            keep_close(self, &chunk, 0, left);
        if (left > size) {
            self->left = left - size;
            return 0;
        }
        self->left = 0;
        if (complete(self, 0, 1) < 0)
            return -1;
        position = left;
    } else if (self->held_size) {
        chunk.before = self->held_size;
        chunk.total = size + chunk.before;
        memcpy(held, self->held, self->held_size);
        self->held_size = 0;
    }
    return scan(self, &chunk, position);
}

/* -- what Python sees */

static PyObject *
feed(PyObject *object, PyObject *data)
{
    int failed;
    if (PyBytes_CheckExact(data)) {
        failed = take((Scanner *)object, (const uint8_t *)PyBytes_AsString(data), (uint64_t)PyBytes_Size(data));
    } else {
        Py_buffer view;
        if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0)
            return NULL;
        failed = take((Scanner *)object, view.buf, (uint64_t)view.len);
        PyBuffer_Release(&view);
    }
    if (failed)
        return NULL;
    Py_RETURN_NONE;
}

/* How many of these bytes complete the frame in progress. */
static uint64_t
missing(const Scanner *self, const uint8_t *data, uint64_t size)
{
    if (self->left)
        return self->left;
    if (!self->held_size)
        return 0;
    const Chunk chunk = {self->held, data, self->held_size, self->held_size + size};
    if (chunk.total < 2)
        return size;
    uint64_t length = byte_at(&chunk, 1) & 0x7f, end = 2;
    if (length > 125) {
        end = length == 126 ? 4 : 10;
        if (chunk.total < end)
            return size;
        length = 0;
        for (uint64_t i = 2; i < end; i++)
            length = length << 8 | byte_at(&chunk, i);
        if (length >> 63)
            return size;
    }
    return end + self->overhead + length - self->held_size;
}

static PyObject *
cut(PyObject *object, PyObject *data)
{
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    const uint64_t size = (uint64_t)view.len, needed = missing((Scanner *)object, view.buf, size);
    PyBuffer_Release(&view);
    return PyLong_FromUnsignedLongLong(needed < size ? needed : size);
}

static PyObject *
get_at_boundary(PyObject *object, void *closure)
{
    const Scanner *self = (Scanner *)object;
    return PyBool_FromLong(!self->left && !self->held_size && !self->torn);
}

static PyObject *
get_close_code(PyObject *object, void *closure)
{
    const Scanner *self = (Scanner *)object;
    if (self->close_code < 0)
        Py_RETURN_NONE;
    return PyLong_FromLong(self->close_code);
}

/* The first size that a message must not have. */
static int
read_limit(PyObject *given, uint64_t *over)
{
    *over = ((uint64_t)1 << 63) + 1;
    if (given == Py_None)
        return 0;
    int overflow;
    const long long most = PyLong_AsLongLongAndOverflow(given, &overflow);
    if (most == -1 && PyErr_Occurred())
        return -1;
    if (overflow <= 0)
        *over = overflow < 0 || most < 0 ? 0 : (uint64_t)most + 1;
    return 0;
}

static int
init(PyObject *object, PyObject *args, PyObject *named)
{
    static char *names[] = {"masked", "max_message", "reserved", NULL};
    Scanner *self = (Scanner *)object;
    PyObject *most = Py_None;
    int masked, reserved = 0x70;
    uint64_t over;
    if (!PyArg_ParseTupleAndKeywords(args, named, "p|Oi:FrameScanner", names, &masked, &most, &reserved)
        || read_limit(most, &over) < 0)
        return -1;
    if (reserved & ~0x70) {
        PyErr_Format(PyExc_KeyError, "%d", reserved);
        return -1;
    }
    PyObject *nothing = PyBytes_FromStringAndSize(NULL, 0), *old = self->close_reason;
    if (nothing == NULL)
        return -1;
    forget_close(self);
    memset(&self->left, 0, sizeof(Scanner) - offsetof(Scanner, left));
    self->close_reason = nothing;
    self->over = over;
    self->mask = masked ? 0x80 : 0;
    self->overhead = masked ? 4 : 0;
    self->reserved = (uint8_t)reserved;
    self->kind = BAD;
    self->close_code = -1;
    Py_XDECREF(old);
    return 0;
}

static void
release_scanner(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    forget_close((Scanner *)object);
    Py_XDECREF(((Scanner *)object)->close_reason);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"feed", feed, METH_O, "feed(data)\n\nTake the next bytes of this direction."},
    {"cut", cut, METH_O, "cut(data)\n\nHow many leading bytes of data complete the frame in progress."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"at_boundary", get_at_boundary, NULL, "Nothing of a frame is pending.", NULL},
    {"close_code", get_close_code, NULL, "What a close frame said; 1005 if it had no code.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef members[] = {
    {"after", T_ULONGLONG, offsetof(Scanner, after), READONLY, NULL},
    {"frames", T_ULONGLONG, offsetof(Scanner, frames), READONLY, NULL},
    {"messages", T_ULONGLONG, offsetof(Scanner, messages), READONLY, NULL},
    {"close_reason", T_OBJECT_EX, offsetof(Scanner, close_reason), READONLY, NULL},
    {"closed", T_BOOL, offsetof(Scanner, closed), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot scanner_slots[] = {
    {Py_tp_doc, "FrameScanner(masked, max_message=None, reserved=0x70)\n\nSee gateway.websocket.frames."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, init},
    {Py_tp_dealloc, release_scanner},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {Py_tp_members, members},
    {0, NULL},
};

static PyType_Spec scanner_spec = {
    "gateway._native.frames.FrameScanner", sizeof(Scanner), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE, scanner_slots,
};

static int
feed_for_others(PyObject *scanner, const uint8_t *data, uint64_t size)
{
    return take((Scanner *)scanner, data, size);
}

static int
closed_for_others(PyObject *scanner)
{
    return ((Scanner *)scanner)->closed;
}

static uint64_t
skippable_for_others(PyObject *scanner)
{
    const Scanner *self = (Scanner *)scanner;
    return self->close == NULL ? self->left : 0;
}

static FramesAPI api = {NULL, feed_for_others, closed_for_others, skippable_for_others};

static int
start(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &scanner_spec, NULL);
    if (type == NULL)
        return -1;
    PyObject *capsule = NULL;
    int failed = PyModule_AddObjectRef(module, "FrameScanner", type);
    if (!failed) {
        if (api.type == NULL) /* other modules keep the pointer: it is that of the first instance, which stays */
            api.type = (PyTypeObject *)type;
        capsule = PyCapsule_New(&api, FRAMES_API, NULL);
        failed = capsule == NULL ? -1 : PyModule_AddObjectRef(module, "api", capsule);
    }
    Py_XDECREF(capsule);
    if (failed)
        Py_DECREF(type);
    return failed;
}

TWIN_MODULE(frames, "The C twin of FrameScanner.", sizeof(State), NOTHING_MORE, )
