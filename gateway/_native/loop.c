/* The C twin of `Loop` in gateway/transport/loop.py. */

#include "pump.h"

#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define LONGEST 1e6 /* seconds of one wait */

double
monotonic(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* The exception that is set, of whatever kind, with its traceback; it is then not set any more. */
PyObject *
caught(void)
{
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    if (traceback != NULL)
        PyException_SetTraceback(error, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return error;
}

/* Call a method with one argument, or none if that is NULL, and drop the result. */
int
tell(PyObject *object, PyObject *method, PyObject *argument)
{
    PyObject *result = PyObject_CallMethodObjArgs(object, method, argument, NULL);
    if (result == NULL)
        return -1;
    Py_DECREF(result);
    return 0;
}

static int
rider_failed(Loop *self, PyObject *rider)
{
    PyObject *error = caught();
    PyObject *result = PyObject_CallMethodObjArgs((PyObject *)self, names._rider_failed, rider, error, NULL);
    Py_DECREF(error);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static int
wake(Loop *self)
{
    return self->turning ? 0 : tell((PyObject *)self, names._wake, NULL);
}

/* -- the lists */

static int
grow(void **items, size_t *size, size_t item)
{
    const size_t wanted = *size ? *size * 2 : 64;
    void *grown = PyMem_Realloc(*items, wanted * item);
    if (grown == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    *items = grown;
    *size = wanted;
    return 0;
}

int
soon(Loop *self, PyObject *rider)
{
    if (PyObject_TypeCheck(rider, stream_type)) {
        if (((Stream *)rider)->waiting)
            return 0;
        ((Stream *)rider)->waiting = 1;
    } else {
        PyObject *waiting = PyObject_GetAttr(rider, names.waiting);
        if (waiting == NULL)
            return -1;
        const int already = PyObject_IsTrue(waiting);
        Py_DECREF(waiting);
        if (already)
            return already < 0 ? -1 : 0;
        if (PyObject_SetAttr(rider, names.waiting, Py_True) < 0)
            return -1;
    }
    if (self->ready_count == self->ready_size) {
        const size_t before = self->ready_size;
        if (grow((void **)&self->ready, &self->ready_size, sizeof(PyObject *)) < 0)
            return -1;
        /* What had wrapped around follows the old end now. */
        for (size_t i = 0; i < self->ready_first; i++)
            self->ready[before + i] = self->ready[i];
    }
    Py_INCREF(rider);
    self->ready[(self->ready_first + self->ready_count++) % self->ready_size] = rider;
    return wake(self);
}

/* This stream has ended: close its socket with those of others, then tell of it. */
int
loop_end(Loop *self, Stream *stream)
{
    PyObject *object = (PyObject *)stream;
    return PyList_Append(self->closing, object) < 0 || PyList_Append(self->later, object) < 0 ? -1 : wake(self);
}

int
to_outbox(Loop *self, Stream *stream)
{
    if (self->outbox_count == self->outbox_size
        && grow((void **)&self->outbox, &self->outbox_size, sizeof(Stream *)) < 0)
        return -1;
    Py_INCREF((PyObject *)stream);
    self->outbox[self->outbox_count++] = stream;
    return 0;
}

/* Send what was written in this round, in one go; also what is written meanwhile. */
int
send_all(Loop *self)
{
    int failed = 0;
    for (size_t i = 0; i < self->outbox_count; i++) {
        Stream *stream = self->outbox[i];
        if (!failed && stream_send_gathered(stream) < 0)
            failed = rider_failed(self, (PyObject *)stream);
        Py_DECREF((PyObject *)stream);
    }
    self->outbox_count = 0;
    self->used = 0;
    return failed;
}

/* -- the turn */

static int
dispatch(Loop *self, int fd, int events)
{
    if (fd >= self->seat_count || self->seats[fd].rider == NULL)
        return 0;
    PyObject *rider = self->seats[fd].rider;
    int failed = 0;
    Py_INCREF(rider);
    if (self->seats[fd].is_stream && stream_is_own((Stream *)rider)) {
        failed = stream_event((Stream *)rider, events);
    } else {
        PyObject *mask = PyLong_FromLong(events);
        failed = mask == NULL ? -1 : tell(rider, names.event, mask);
        Py_XDECREF(mask);
    }
    if (failed)
        failed = rider_failed(self, rider);
    Py_DECREF(rider);
    return failed;
}

/* Do the calls of one of the lists, with `method` where they are streams; what they put on it stays there. */
static int
do_calls(Loop *self, PyObject **list, PyObject *method)
{
    PyObject *calls = *list;
    PyObject *next = PyList_New(0);
    if (next == NULL)
        return -1;
    *list = next;
    int failed = 0;
    for (Py_ssize_t i = 0; i < PyList_Size(calls) && !failed; i++) {
        PyObject *call = PyList_GetItem(calls, i), *result;
        if (PyObject_TypeCheck(call, stream_type))
            result = PyObject_CallMethodObjArgs(call, method, NULL);
        else
            result = PyObject_CallNoArgs(call);
        if (result == NULL) {
            PyObject *error = caught();
            failed = tell((PyObject *)self, names._call_failed, error);
            Py_DECREF(error);
        }
        Py_XDECREF(result);
    }
    Py_DECREF(calls);
    return failed;
}

/* Send, close and begin, at once: see `_wake_peers` in Python. */
static int
wake_peers(Loop *self)
{
    if (self->outbox_count && send_all(self) < 0)
        return -1;
    if (PyList_Size(self->closing) && do_calls(self, &self->closing, names._close_socket) < 0)
        return -1;
    return PyList_Size(self->last) ? do_calls(self, &self->last, NULL) : 0;
}

/* The end of a round; what is asked for while others are told comes behind that. */
static int
finish(Loop *self)
{
    if (wake_peers(self) < 0)
        return -1;
    if (!PyList_Size(self->later))
        return 0;
    return do_calls(self, &self->later, names._ended) < 0 ? -1 : wake_peers(self);
}

static int
serve(Loop *self, double ends)
{
    for (size_t count = self->ready_count; count; count--) {
        PyObject *rider = self->ready[self->ready_first];
        self->ready_first = (self->ready_first + 1) % self->ready_size;
        self->ready_count--;
        int failed;
        if (PyObject_TypeCheck(rider, stream_type)) {
            ((Stream *)rider)->waiting = 0;
            failed = stream_again((Stream *)rider);
        } else {
            failed = PyObject_SetAttr(rider, names.waiting, Py_False) < 0 || tell(rider, names.again, NULL) < 0;
        }
        if (failed && rider_failed(self, rider) < 0) {
            Py_DECREF(rider);
            return -1;
        }
        Py_DECREF(rider);
        self->now = monotonic();
        if (self->now > ends)
            break;
    }
    return finish(self);
}

/* Wait so many milliseconds, without end where they are negative; -1 with an exception. A signal ends it. */
static int
fetch(Loop *self, struct epoll_event *events, int timeout)
{
    int count;
    if (self->epoll < 0)
        return 0;
    if (timeout) {
        Py_BEGIN_ALLOW_THREADS
        count = epoll_wait(self->epoll, events, BATCH, timeout);
        Py_END_ALLOW_THREADS
    } else {
        count = epoll_wait(self->epoll, events, BATCH, 0);
    }
    if (count < 0 && errno == EINTR)
        return 0;
    if (count < 0)
        PyErr_SetFromErrno(PyExc_OSError);
    return count;
}

/* Whether the nested epoll has something; -1 with an exception. */
static int
rounds(Loop *self, double seconds, int timeout)
{
    struct epoll_event events[BATCH];
    double ends = 0;
    int others = 0;
    for (;;) {
        const int count = fetch(self, events, timeout);
        if (count < 0)
            return -1;
        self->now = monotonic();
        if (!ends)
            ends = self->now + seconds;
        timeout = 0;
        for (int i = 0; i < count; i++) {
            const int fd = events[i].data.fd;
            if (fd == self->nested)
                others = 1;
            else if (dispatch(self, fd, (int)events[i].events) < 0)
                return -1;
        }
        if (finish(self) < 0)
            return -1;
        if (self->ready_count) {
            if (serve(self, ends) < 0)
                return -1;
        } else if (!count) {
            return others;
        }
        if (monotonic() > ends)
            return others;
    }
}

static int
close_epoll(Loop *self)
{
    if (self->epoll < 0)
        return 0;
    const int failed = tell((PyObject *)self, names._closed, NULL);
    close(self->epoll);
    self->epoll = self->nested = -1;
    return failed;
}

/* -- what Python sees */

/* For epoll_wait: rounded up, so that nobody is woken just before time. */
static int
milliseconds(double seconds)
{
    if (seconds < 0)
        return -1;
    const double exact = (seconds < LONGEST ? seconds : LONGEST) * 1000;
    const int whole = (int)exact;
    return whole + (whole < exact);
}

static PyObject *
turn(PyObject *object, PyObject *args)
{
    Loop *self = (Loop *)object;
    double seconds, timeout = 0;
    if (!PyArg_ParseTuple(args, "d|d:turn", &seconds, &timeout))
        return NULL;
    if (self->turning)
        Py_RETURN_TRUE;
    self->turning = 1;
    const int others = rounds(self, seconds, milliseconds(timeout));
    self->turning = 0;
    if (others < 0 || (!self->riders && close_epoll(self) < 0))
        return NULL;
    if ((self->ready_count || PyList_Size(self->later) || PyList_Size(self->last)) && wake(self) < 0)
        return NULL;
    return PyBool_FromLong(others);
}

static PyObject *
nest(PyObject *object, PyObject *number)
{
    Loop *self = (Loop *)object;
    const long fd = PyLong_AsLong(number);
    if (fd == -1 && PyErr_Occurred())
        return NULL;
    struct epoll_event wanted = {.events = EPOLLIN | EPOLLONESHOT, .data.fd = (int)fd};
    if (epoll_ctl(self->epoll, self->nested < 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, (int)fd, &wanted) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    self->nested = (int)fd;
    Py_RETURN_NONE;
}

static PyObject *
settle(PyObject *object, PyObject *none)
{
    Loop *self = (Loop *)object;
    while (PyList_Size(self->later))
        if (finish(self) < 0)
            return NULL;
    if (!self->riders && !self->turning && close_epoll(self) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static int
sit(Loop *self, int fd, PyObject *rider)
{
    if (fd >= self->seat_count) {
        int wanted = self->seat_count ? self->seat_count : 64;
        while (wanted <= fd)
            wanted *= 2;
        Seat *seats = PyMem_Realloc(self->seats, sizeof(Seat) * (size_t)wanted);
        if (seats == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        memset(seats + self->seat_count, 0, sizeof(Seat) * (size_t)(wanted - self->seat_count));
        self->seats = seats;
        self->seat_count = wanted;
    }
    Seat *seat = &self->seats[fd];
    PyObject *before = seat->rider;
    Py_INCREF(rider);
    seat->rider = rider;
    seat->is_stream = (char)PyObject_TypeCheck(rider, stream_type);
    if (before == NULL)
        self->riders++;
    else
        Py_DECREF(before);
    return 0;
}

static PyObject *
add(PyObject *object, PyObject *args)
{
    Loop *self = (Loop *)object;
    PyObject *rider;
    int fd;
    unsigned int events = EPOLLIN | EPOLLOUT | EPOLLRDHUP;
    if (!PyArg_ParseTuple(args, "iO|I:add", &fd, &rider, &events))
        return NULL;
    if (self->epoll < 0) {
        self->epoll = epoll_create1(EPOLL_CLOEXEC);
        if (self->epoll < 0)
            return PyErr_SetFromErrno(PyExc_OSError);
        if (tell(object, names._opened, NULL) < 0)
            return NULL;
    }
    struct epoll_event wanted = {.events = events | EPOLLET, .data.fd = fd};
    if (epoll_ctl(self->epoll, EPOLL_CTL_ADD, fd, &wanted) < 0
        /* Removed, but not closed yet: this reports anew what the socket has. */
        && (errno != EEXIST || epoll_ctl(self->epoll, EPOLL_CTL_MOD, fd, &wanted) < 0))
        return PyErr_SetFromErrno(PyExc_OSError);
    if (sit(self, fd, rider) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
hand_over(PyObject *object, PyObject *args)
{
    PyObject *rider;
    int fd;
    if (!PyArg_ParseTuple(args, "iO:hand_over", &fd, &rider))
        return NULL;
    if (fd < 0) {
        PyErr_SetString(PyExc_ValueError, "no descriptor");
        return NULL;
    }
    if (sit((Loop *)object, fd, rider) < 0)
        return NULL;
    Py_RETURN_NONE;
}

int
loop_remove(Loop *self, int fd)
{
    if (fd < 0 || fd >= self->seat_count || self->seats[fd].rider == NULL)
        return 0;
    PyObject *rider = self->seats[fd].rider;
    self->seats[fd].rider = NULL;
    self->riders--;
    Py_DECREF(rider);
    return self->riders || self->turning ? 0 : close_epoll(self);
}

static PyObject *
remove_rider(PyObject *object, PyObject *number)
{
    const long fd = PyLong_AsLong(number);
    if ((fd == -1 && PyErr_Occurred()) || loop_remove((Loop *)object, fd > INT_MAX ? -1 : (int)fd) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
release_rider(PyObject *object, PyObject *number)
{
    Loop *self = (Loop *)object;
    const long fd = PyLong_AsLong(number);
    if (fd == -1 && PyErr_Occurred())
        return NULL;
    if (fd < 0 || fd >= self->seat_count || self->seats[fd].rider == NULL)
        Py_RETURN_NONE;
    if (epoll_ctl(self->epoll, EPOLL_CTL_DEL, (int)fd, NULL) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    if (loop_remove(self, (int)fd) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
ask_soon(PyObject *object, PyObject *rider)
{
    if (soon((Loop *)object, rider) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
put_off(PyObject *object, PyObject *call)
{
    Loop *self = (Loop *)object;
    if (PyList_Append(self->later, call) < 0 || wake(self) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
put_last(PyObject *object, PyObject *call)
{
    Loop *self = (Loop *)object;
    if (!self->turning)
        return PyObject_CallNoArgs(call);
    if (PyList_Append(self->last, call) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
fileno_of(PyObject *object, PyObject *none)
{
    return PyLong_FromLong(((Loop *)object)->epoll);
}

static PyObject *
riders(PyObject *object, PyObject *none)
{
    Loop *self = (Loop *)object;
    PyObject *list = PyList_New(0);
    for (int fd = 0; list != NULL && fd < self->seat_count; fd++)
        if (self->seats[fd].rider != NULL && PyList_Append(list, self->seats[fd].rider) < 0)
            Py_CLEAR(list);
    return list;
}

static PyObject *
do_nothing(PyObject *object, PyObject *args)
{
    Py_RETURN_NONE;
}

/* -- life */

static PyObject *
make(PyTypeObject *type, PyObject *args, PyObject *named)
{
    Loop *self = (Loop *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (self == NULL)
        return NULL;
    self->epoll = self->nested = -1;
    self->closing = PyList_New(0);
    self->later = PyList_New(0);
    self->last = PyList_New(0);
    self->arena = PyMem_Malloc(ARENA + LARGE_READ); /* pages that are never touched cost nothing */
    if (self->closing == NULL || self->later == NULL || self->last == NULL || self->arena == NULL) {
        Py_DECREF((PyObject *)self);
        return self->arena == NULL ? PyErr_NoMemory() : NULL;
    }
    return (PyObject *)self;
}

static int
init(PyObject *object, PyObject *args, PyObject *named)
{
    return 0;
}

static int
traverse(PyObject *object, visitproc visit, void *arg)
{
    Loop *self = (Loop *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->closing);
    Py_VISIT(self->later);
    Py_VISIT(self->last);
    for (int fd = 0; fd < self->seat_count; fd++)
        Py_VISIT(self->seats[fd].rider);
    for (size_t i = 0; i < self->ready_count; i++)
        Py_VISIT(self->ready[(self->ready_first + i) % self->ready_size]);
    for (size_t i = 0; i < self->outbox_count; i++)
        Py_VISIT(self->outbox[i]);
    return 0;
}

static int
clear(PyObject *object)
{
    Loop *self = (Loop *)object;
    Py_CLEAR(self->closing);
    Py_CLEAR(self->later);
    Py_CLEAR(self->last);
    for (int fd = 0; fd < self->seat_count; fd++)
        Py_CLEAR(self->seats[fd].rider);
    while (self->ready_count)
        Py_DECREF(self->ready[(self->ready_first + --self->ready_count) % self->ready_size]);
    while (self->outbox_count)
        Py_DECREF((PyObject *)self->outbox[--self->outbox_count]);
    return 0;
}

static void
release(PyObject *object)
{
    Loop *self = (Loop *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    clear(object);
    if (self->epoll >= 0)
        close(self->epoll);
    PyMem_Free(self->seats);
    PyMem_Free(self->ready);
    PyMem_Free(self->outbox);
    PyMem_Free(self->arena);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"add", add, METH_VARARGS, "add(fd, rider, events=...)\n\nWatch a non-blocking socket."},
    {"hand_over", hand_over, METH_VARARGS, "hand_over(fd, rider)\n\nGive the events of a watched socket to another."},
    {"remove", remove_rider, METH_O, "remove(fd)\n\nForget a socket. Idempotent."},
    {"release", release_rider, METH_O, "release(fd)\n\nForget a socket that another process goes on with."},
    {"soon", ask_soon, METH_O, "soon(rider)\n\nCall rider.again() in this turn or in the next."},
    {"later", put_off, METH_O, "later(call)\n\nDo call() when the events at hand have been served."},
    {"at_end", put_last, METH_O, "at_end(call)\n\nDo call() when the events at hand are served and all is sent."},
    {"fileno", fileno_of, METH_NOARGS, "fileno()\n\nThe epoll's descriptor, -1 while there is none."},
    {"riders", riders, METH_NOARGS, "riders()\n\nAll whose sockets are watched."},
    {"nest", nest, METH_O, "nest(fd)\n\nWatch another epoll until a turn finds something in it."},
    {"turn", turn, METH_VARARGS, "turn(seconds, timeout=0)\n\nServe all that have something."},
    {"settle", settle, METH_NOARGS, "settle()\n\nDo all calls that wait; close the epoll if nobody rides."},
    {"_opened", do_nothing, METH_NOARGS, NULL},
    {"_closed", do_nothing, METH_NOARGS, NULL},
    {"_wake", do_nothing, METH_NOARGS, NULL},
    {"_rider_failed", do_nothing, METH_VARARGS, NULL},
    {"_call_failed", do_nothing, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"turning", T_BOOL, offsetof(Loop, turning), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "See gateway.transport.loop."},
    {Py_tp_new, make},
    {Py_tp_init, init},
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear},
    {Py_tp_dealloc, release},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {0, NULL},
};

PyType_Spec loop_spec = {
    "gateway._native.pump.Loop", sizeof(Loop), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots,
};
