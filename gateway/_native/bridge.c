/* One direction of a tunnel: what `source` reads is written to `target`, and where there is a scanner, its frame headers
   are read; what needs no look is not even read, where there is much of it (splice.c). Python is called when there is something
   to decide, with what has not been passed on: `owner.bridge_ended(source, data, error)` when the scanner refuses `data`, with
   None when there is a close frame in it. The bridge is gone then, and what comes next goes to the protocol again. Everything
   else (the end, errors, a target that is stuck) is the streams' own business. */

#include "pump.h"

static void
detach(Bridge *self)
{
    Stream *source = self->source;
    if (source != NULL && source->bridge == self) {
        source->bridge = NULL;
        Py_DECREF((PyObject *)self);
    }
}

/* The bridge ends: tell why. `error` is NULL for a close frame. */
static int
report(Bridge *self, const char *data, ssize_t size, PyObject *error)
{
    PyObject *bytes = PyBytes_FromStringAndSize(data, size), *result = NULL;
    detach(self);
    if (bytes != NULL)
        result = PyObject_CallMethodObjArgs(self->owner, names.bridge_ended, (PyObject *)self->source, bytes,
                                            error == NULL ? Py_None : error, NULL);
    Py_XDECREF(bytes);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static int
refused(Bridge *self, const char *data, ssize_t size)
{
    PyObject *error = caught();
    const int failed = report(self, data, size, error);
    Py_DECREF(error);
    return failed;
}

/* What was read is at the end of the arena, so that writing it to the target need not move it. */
static int
pass_on(Bridge *self, const char *data, ssize_t size)
{
    self->count += (unsigned long long)size;
    self->last = self->source->loop->now;
    if (self->scanner == NULL)
        return stream_write(self->target, data, (size_t)size, NULL);
    if (frames_api->feed(self->scanner, (const uint8_t *)data, (uint64_t)size) < 0)
        return refused(self, data, size);
    if (frames_api->closed(self->scanner))
        return report(self, data, size, NULL);
    return stream_write(self->target, data, (size_t)size, NULL);
}

/* Pass on what need not be looked at: how much; -1 with an exception set. */
static ssize_t
move_on(Bridge *self)
{
    PyObject *rest;
    const uint64_t most = self->scanner == NULL ? SIZE_MAX : frames_api->skippable(self->scanner);
    const ssize_t count = stream_splice(self->source, self->target, (size_t)most, &rest);
    if (count <= 0)
        return count;
    self->count += (unsigned long long)count;
    self->last = self->source->loop->now;
    const int failed = (self->scanner != NULL && frames_api->feed(self->scanner, NULL, (uint64_t)count) < 0)
                       || stream_write(self->target, PyBytes_AsString(rest), (size_t)PyBytes_Size(rest), rest) < 0;
    Py_DECREF(rest);
    return failed ? -1 : count;
}

/* Read once, and pass it on. The caller holds the source. */
int
bridge_move(Bridge *self, int end)
{
    Stream *source = self->source;
    Py_INCREF((PyObject *)self);
    ssize_t count = move_on(self);
    int failed = count < 0;
    if (!count && (count = stream_read(source)) > 0)
        failed = pass_on(self, free_space(source->loop), count) < 0;
    Py_DECREF((PyObject *)self);
    if (failed)
        return stream_protocol_raised(source) < 0 ? -1 : stream_has_read(source, 0, end);
    return count > 0 ? stream_has_read(source, count, end) : (int)count;
}

/* -- what Python sees */

/* A bridge, or None where there can be none. */
PyObject *
bridge_made(PyObject *args)
{
    PyObject *source, *target, *scanner, *owner;
    if (!PyArg_ParseTuple(args, "OOOO:bridge", &source, &target, &scanner, &owner))
        return NULL;
    if (!PyObject_TypeCheck(source, stream_type) || !PyObject_TypeCheck(target, stream_type))
        Py_RETURN_NONE;
    Stream *from = (Stream *)source, *to = (Stream *)target;
    const int readable = scanner == Py_None || (frames_api != NULL && PyObject_TypeCheck(scanner, frames_api->type));
    if (!readable || !stream_is_own(from) || from->loop == NULL || from->loop != to->loop || from->bridge != NULL)
        Py_RETURN_NONE;
    Bridge *self = (Bridge *)PyType_GenericAlloc(bridge_type, 0);
    if (self == NULL)
        return NULL;
    Py_INCREF(source);
    Py_INCREF(target);
    Py_INCREF(owner);
    self->source = from;
    self->target = to;
    self->owner = owner;
    if (scanner != Py_None) {
        Py_INCREF(scanner);
        self->scanner = scanner;
    }
    self->last = monotonic();
    Py_INCREF((PyObject *)self);
    from->bridge = self;
    return (PyObject *)self;
}

static PyObject *
stop(PyObject *object, PyObject *none)
{
    detach((Bridge *)object);
    Py_RETURN_NONE;
}

static int
traverse(PyObject *object, visitproc visit, void *arg)
{
    Bridge *self = (Bridge *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->source);
    Py_VISIT(self->target);
    Py_VISIT(self->scanner);
    Py_VISIT(self->owner);
    return 0;
}

static int
clear(PyObject *object)
{
    Bridge *self = (Bridge *)object;
    Py_CLEAR(self->source);
    Py_CLEAR(self->target);
    Py_CLEAR(self->scanner);
    Py_CLEAR(self->owner);
    return 0;
}

static void
release(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    clear(object);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"stop", stop, METH_NOARGS, "stop()\n\nLet the protocol have what comes from now on. Idempotent."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"count", T_ULONGLONG, offsetof(Bridge, count), READONLY, "Bytes that the source has sent."},
    {"last", T_DOUBLE, offsetof(Bridge, last), READONLY, "Monotonic seconds of the last of them."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "See gateway.transport.bridge."},
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear},
    {Py_tp_dealloc, release},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {0, NULL},
};

PyType_Spec bridge_spec = {
    "gateway._native.pump.Bridge", sizeof(Bridge), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots,
};
