/* The type `Lane`, the base of `gateway.listener.lane.Lane`; what it does is in lane.c. */

#include "lane.h"

static PyObject *
detach_backend(PyObject *object, PyObject *none)
{
    lane_detach((Lane *)object);
    Py_CLEAR(((Lane *)object)->raw);
    Py_RETURN_NONE;
}

static PyObject *
close_lane(PyObject *object, PyObject *none)
{
    Lane *self = (Lane *)object;
    self->armed = 0;
    if (self->client != NULL)
        lane_forget(self->client);
    Py_RETURN_NONE;
}

static PyObject *
trace_id(PyObject *object, void *closure)
{
    char id[TRACE_ID]; /* `out` may be in use */
    write_trace_id((Lane *)object, id);
    return PyUnicode_DecodeLatin1(id, TRACE_ID, NULL);
}

static PyObject *
flying(PyObject *object, void *closure)
{
    return PyBool_FromLong(lane_is_flying((Lane *)object));
}

static PyObject *
waiting(PyObject *object, void *closure)
{
    return PyBool_FromLong(((Lane *)object)->request != NULL);
}

/* Those of a HeadLimits: to parse it as a sequence takes longer than all else of a lane that is made. */
static int
limits_of(PyObject *given, Limits *limits)
{
    Py_ssize_t *const places[] = {&limits->head, &limits->fields, &limits->target};
    if (PyTuple_Size(given) != 3) {
        PyErr_SetString(PyExc_TypeError, "the limits of a head are three");
        return -1;
    }
    for (Py_ssize_t i = 0; i < 3; i++)
        if ((*places[i] = PyLong_AsSsize_t(PyTuple_GetItem(given, i))) == -1 && PyErr_Occurred())
            return -1;
    return 0;
}

static int
init(PyObject *object, PyObject *args, PyObject *named)
{
    Lane *self = (Lane *)object;
    PyObject *client, *known, *prefix, *most_of_a_head;
    Limits limits;
    long long most_body;
    if (!PyArg_ParseTuple(args, "OSUO!L:Lane", &client, &known, &prefix, &PyTuple_Type, &most_of_a_head, &most_body)
        || limits_of(most_of_a_head, &limits) < 0 || lane_prepare() < 0)
        return -1;
    if (!PyObject_TypeCheck(client, stream_type) || ((Stream *)client)->loop == NULL || self->known != NULL
        || ((Stream *)client)->lane != NULL || PyUnicode_GetLength(prefix) != PREFIX) {
        PyErr_SetString(PyExc_ValueError, "a lane needs a stream that has none, and a prefix of 16 digits");
        return -1;
    }
    const char *digits = PyUnicode_AsUTF8AndSize(prefix, NULL);
    if (digits == NULL)
        return -1;
    Py_INCREF(known);
    Py_INCREF(object);
    self->known = known;
    memcpy(self->prefix, digits, PREFIX);
    self->limits = limits;
    self->most_body = most_body;
    self->client = (Stream *)client;
    self->client->lane = self;
    self->armed = 1;
    return 0;
}

static int
traverse(PyObject *object, visitproc visit, void *arg)
{
    Lane *self = (Lane *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->backend);
    Py_VISIT(self->known);
    Py_VISIT(self->raw);
    Py_VISIT(self->request);
    return 0;
}

static int
clear(PyObject *object)
{
    Lane *self = (Lane *)object;
    lane_detach(self);
    Py_CLEAR(self->known);
    Py_CLEAR(self->raw);
    Py_CLEAR(self->kind);
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

static PyObject *
body(PyObject *object, PyObject *none)
{
    const Span body = ((Lane *)object)->body;
    return PyBytes_FromStringAndSize((const char *)body.at, body.size);
}

static PyObject *
head(PyObject *object, PyObject *none)
{
    return lane_head((Lane *)object);
}

static PyObject *
go(PyObject *object, PyObject *found)
{
    if (lane_go((Lane *)object, found) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef own_methods[] = {
    {"go", go, METH_O, "go(transport)\n\nSend the request that waits for it; nothing where none does."},
    {"head", head, METH_NOARGS, "head()\n\nThat of the request that is in it, made anew each time."},
    {"body", body, METH_NOARGS, "body()\n\nThat of the request, while it is decided where it goes."},
    {"detach", detach_backend, METH_NOARGS, "detach()\n\nWhat the backend says goes to its protocol. Idempotent."},
    {"close", close_lane, METH_NOARGS, "close()\n\nThe same for the client, for ever. Idempotent."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"armed", T_BOOL, offsetof(Lane, armed), 0, "The client's next bytes may be a plain request."},
    {"closing", T_BOOL, offsetof(Lane, closing), READONLY, "The client wants the connection to end with its response."},
    {"raw", T_OBJECT, offsetof(Lane, raw), READONLY, "The head of the request that is in it, as it was read, or None."},
    {"opening", T_BOOL, offsetof(Lane, opening), READONLY, "The request is for a WebSocket."},
    {"careful", T_BOOL, offsetof(Lane, careful), READONLY, "The request has a body, so it cannot be sent again."},
    {"received", T_PYSSIZET, offsetof(Lane, received), READONLY, "Bytes of the request, as it came."},
    {"sent", T_PYSSIZET, offsetof(Lane, sent), READONLY, "Bytes of the request, as it went on."},
    {"status", T_INT, offsetof(Lane, status), READONLY, "Of the response, once it has begun."},
    {"content_type", T_OBJECT, offsetof(Lane, kind), READONLY, "The same."},
    {"left", T_LONGLONG, offsetof(Lane, left), READONLY, "Bytes of its body that have not been seen here."},
    {"answered", T_LONGLONG, offsetof(Lane, answered), READONLY, "Bytes of the response, as they came."},
    {"passed", T_LONGLONG, offsetof(Lane, passed), READONLY, "Bytes of the response, as they went on."},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef getters[] = {
    {"flying", flying, NULL, "A request is on its way, or waits for a connection.", NULL},
    {"waiting", waiting, NULL, "The request waits for `go`.", NULL},
    {"trace_id", trace_id, NULL, "Of the latest request.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "See gateway.listener.lane."},
    {Py_tp_init, init},
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear},
    {Py_tp_dealloc, release},
    {Py_tp_methods, own_methods},
    {Py_tp_members, members},
    {Py_tp_getset, getters},
    {0, NULL},
};

PyType_Spec lane_spec = {
    "gateway._native.pump.Lane", sizeof(Lane), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots,
};
