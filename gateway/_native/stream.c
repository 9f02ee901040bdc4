/* The C twin of `Stream` in gateway/transport/stream.py. */

#include "pump.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define END (EPOLLRDHUP | EPOLLHUP | EPOLLERR)
#define IN (EPOLLIN | END)

static PyObject *own_methods[2]; /* `event` and `_send_now` of the type itself */

/* The connection broke with this errno. */
int
stream_lost(Stream *self, int number)
{
    errno = number;
    PyErr_SetFromErrno(PyExc_OSError);
    PyObject *error = caught();
    PyObject *reason = PyObject_CallFunctionObjArgs(reason_of, error, NULL);
    Py_DECREF(error);
    if (reason == NULL)
        return -1;
    const int failed = tell((PyObject *)self, names._lose, reason);
    Py_DECREF(reason);
    return failed;
}

/* What the protocol did raised what is set. */
int
stream_protocol_raised(Stream *self)
{
    PyObject *error = caught();
    const int failed = tell((PyObject *)self, names._protocol_raised, error);
    Py_DECREF(error);
    return failed;
}

/* Read once, to the end of the arena: how many bytes, -1 with an exception set. 0: nothing there, or the end or an error,
   which has been dealt with. */
ssize_t
stream_read(Stream *self)
{
    ssize_t count;
    if (self->ssl != NULL)
        return tls_read(self);
    do
        count = recv(self->fd, free_space(self->loop), (size_t)self->size, 0);
    while (count < 0 && errno == EINTR);
    if (count > 0)
        return count;
    if (count == 0)
        return tell((PyObject *)self, names._read_ended, NULL);
    return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : stream_lost(self, errno);
}

/* So much was read: is there more to come, and how much shall be read next time? */
int
stream_has_read(Stream *self, Py_ssize_t count, int end)
{
    int more = end || self->unread;
    self->unread = 0;
    if (end)
        self->end_seen = 1; /* announced together with the data in front of it; there will be no other edge */
    if (count == self->size && self->ssl == NULL) {
        self->size = LARGE_READ;
        more = 1;
    }
    return more ? soon(self->loop, (PyObject *)self) : 0;
}

/* Let the protocol have this. -1: that is set which it raised. */
int
stream_deliver(Stream *self, PyObject *data)
{
    PyObject *protocol = self->protocol;
    Py_INCREF(protocol); /* it may be replaced meanwhile */
    const int failed = tell(protocol, names.dataReceived, data);
    Py_DECREF(protocol);
    return failed;
}

int
stream_event(Stream *self, int events)
{
    if (self->ssl != NULL)
        events |= EPOLLIN | EPOLLOUT; /* OpenSSL may want to read in order to write and the other way round */
    if (self->queued && events & EPOLLOUT && tell((PyObject *)self, names._flush, NULL) < 0)
        return -1;
    if (!(events & IN))
        return 0;
    if (self->deaf) {
        PyObject *mask = PyLong_FromLong(events);
        const int failed = mask == NULL ? -1 : tell((PyObject *)self, names._note_unread, mask);
        Py_XDECREF(mask);
        return failed;
    }
    if (self->protocol == NULL) {
        PyErr_SetString(PyExc_AttributeError, "protocol");
        return -1;
    }
    if (self->bridge != NULL)
        return bridge_move(self->bridge, events & END);
    if (self->lane != NULL)
        return lane_event(self, events & END);
    const ssize_t count = stream_read(self);
    if (count <= 0)
        return (int)count;
    PyObject *data = PyBytes_FromStringAndSize(free_space(self->loop), count);
    if (data == NULL)
        return -1;
    const int failed = stream_deliver(self, data);
    Py_DECREF(data);
    return failed ? stream_protocol_raised(self) : stream_has_read(self, count, events & END);
}

int
stream_again(Stream *self)
{
    if (self->connected && self->pulls && tell((PyObject *)self, names._pull, NULL) < 0)
        return -1;
    if (!self->connected)
        return 0;
    const int events = self->end_seen ? IN : EPOLLIN;
    if (stream_is_own(self))
        return stream_event(self, events);
    PyObject *mask = PyLong_FromLong(events);
    const int failed = mask == NULL ? -1 : tell((PyObject *)self, names.event, mask);
    Py_XDECREF(mask);
    return failed;
}

/* -- writing. `owner` is the bytes object that `data` is the whole of, or NULL. */

int
stream_call_with(Stream *self, PyObject *method, const char *data, size_t size, PyObject *owner)
{
    PyObject *bytes = owner;
    if (bytes == NULL) {
        bytes = PyBytes_FromStringAndSize(data, (Py_ssize_t)size);
        if (bytes == NULL)
            return -1;
    } else {
        Py_INCREF(bytes);
    }
    const int failed = tell((PyObject *)self, method, bytes);
    Py_DECREF(bytes);
    return failed;
}

/* What a send has returned: how much the kernel has taken of `size` bytes; -1 if that is an error, which has been dealt
   with, or with an exception set. */
static ssize_t
taken(Stream *self, ssize_t sent, size_t size, int *failed)
{
    *failed = 0;
    if (sent >= 0)
        return sent;
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return 0;
    PyErr_SetFromErrno(PyExc_OSError);
    self->unsent += (Py_ssize_t)size;
    PyObject *error = caught();
    *failed = tell((PyObject *)self, names._write_failed, error);
    Py_DECREF(error);
    return -1;
}

static int
send_with(Stream *self, const char *data, size_t size, PyObject *owner, int flags)
{
    if (self->ssl != NULL)
        return tls_send(self, data, size, owner);
    if (self->own_send)
        return stream_call_with(self, names._send_now, data, size, owner);
    ssize_t sent;
    int failed;
    do
        sent = send(self->fd, data, size, MSG_NOSIGNAL | flags);
    while (sent < 0 && errno == EINTR);
    sent = taken(self, sent, size, &failed);
    if (sent < 0 || (size_t)sent == size)
        return failed;
    return stream_call_with(self, names._enqueue, data + sent, size - (size_t)sent, sent ? NULL : owner);
}

static int
send_now(Stream *self, const char *data, size_t size, PyObject *owner)
{
    return send_with(self, data, size, owner, 0);
}

/* Send what was written in this round and something that is too long to be put behind it, in one go. */
static int
send_both(Stream *self, const char *data, size_t size, PyObject *owner)
{
    const size_t first = self->gathered;
    const char *begin = self->loop->arena + self->at;
    struct iovec pieces[2] = {{(void *)begin, first}, {(void *)data, size}};
    const struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
    ssize_t sent;
    int failed;
    self->gathered = 0;
    do
        sent = sendmsg(self->fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    sent = taken(self, sent, first + size, &failed);
    if (sent < 0 || (size_t)sent == first + size)
        return failed;
    size_t done = (size_t)sent;
    if (done < first) {
        if (stream_call_with(self, names._enqueue, begin + done, first - done, NULL) < 0)
            return -1;
        done = first;
    }
    done -= first;
    return stream_call_with(self, names._enqueue, data + done, size - done, done ? NULL : owner);
}

static int
send_gathered_with(Stream *self, int flags)
{
    const size_t size = self->gathered;
    if (!size)
        return 0;
    self->gathered = 0;
    return send_with(self, self->loop->arena + self->at, size, NULL, flags);
}

int
stream_send_gathered(Stream *self)
{
    return send_gathered_with(self, 0);
}

/* Only the end follows in this round, if no pull producer has more: it goes with these bytes in one packet. */
int
stream_send_last(Stream *self)
{
    return send_gathered_with(self, self->pulls ? 0 : MSG_MORE);
}

/* Put what is written behind what was in this round. 0 if there is no room, 1 if that is done. */
static int
gather(Stream *self, const char *data, size_t size)
{
    Loop *loop = self->loop;
    char *end = free_space(loop);
    const size_t before = self->gathered;
    if (before + size > GATHERED)
        return 0;
    if (before && self->at + before != loop->used) {
        /* Others have written meanwhile: move to the end. What is written may stand there already. */
        if (loop->used + before + size > ARENA)
            return 0;
        memmove(end + before, data, size);
        memcpy(end, loop->arena + self->at, before);
        self->at = loop->used;
        loop->used += before + size;
    } else {
        if (loop->used + size > ARENA)
            return 0;
        if (data != end)
            memcpy(end, data, size);
        if (!before) {
            if (to_outbox(loop, self) < 0)
                return -1;
            self->at = loop->used;
        }
        loop->used += size;
    }
    self->gathered = before + size;
    return 1;
}

int
stream_write(Stream *self, const char *data, size_t size, PyObject *owner)
{
    if (!size)
        return 0;
    if (self->direct && self->loop->turning) {
        const int done = gather(self, data, size);
        if (done)
            return done < 0 ? -1 : 0;
    }
    if (self->direct && self->gathered && !self->own_send)
        return send_both(self, data, size, owner);
    if (self->direct && stream_send_gathered(self) < 0)
        return -1;
    return self->direct ? send_now(self, data, size, owner) : stream_call_with(self, names._enqueue, data, size, owner);
}

/* -- what Python sees */

static int
is_made(PyObject *object)
{
    if (((Stream *)object)->loop != NULL)
        return 1;
    PyErr_SetString(PyExc_RuntimeError, "Stream.__init__ has not been called");
    return 0;
}

static PyObject *
with_buffer(PyObject *object, PyObject *data, int (*act)(Stream *, const char *, size_t, PyObject *))
{
    int failed;
    if (!is_made(object))
        return NULL;
    if (PyBytes_Check(data)) {
        failed = act((Stream *)object, PyBytes_AsString(data), (size_t)PyBytes_Size(data), data);
    } else {
        Py_buffer view;
        if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0)
            return NULL;
        failed = act((Stream *)object, view.buf, (size_t)view.len, NULL);
        PyBuffer_Release(&view);
    }
    if (failed)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
write_data(PyObject *object, PyObject *data)
{
    return with_buffer(object, data, stream_write);
}

static PyObject *
send_data(PyObject *object, PyObject *data)
{
    return with_buffer(object, data, send_now);
}

static PyObject *
send_gathered(PyObject *object, PyObject *none)
{
    if (stream_send_gathered((Stream *)object) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
send_last(PyObject *object, PyObject *none)
{
    if (stream_send_last((Stream *)object) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
forget_gathered(PyObject *object, PyObject *none)
{
    Stream *self = (Stream *)object;
    self->unsent += (Py_ssize_t)self->gathered;
    self->gathered = 0;
    Py_RETURN_NONE;
}

static PyObject *
handle(PyObject *object, PyObject *events)
{
    const long mask = PyLong_AsLong(events);
    if ((mask == -1 && PyErr_Occurred()) || !is_made(object) || stream_event((Stream *)object, (int)mask) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
look_again(PyObject *object, PyObject *none)
{
    if (!is_made(object) || stream_again((Stream *)object) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* -- the socket */

static PyObject *
close_socket(PyObject *object, PyObject *none)
{
    Stream *self = (Stream *)object;
    if (self->sock != NULL)
        return PyObject_CallMethodObjArgs(self->sock, names.close, NULL);
    if (self->owned) {
        self->owned = 0;
        close(self->fd);
    }
    Py_RETURN_NONE;
}

static PyObject *
close_with_reset(PyObject *object, PyObject *none)
{
    const struct linger at_once = {1, 0};
    /* If that fails, the peer was faster. */
    setsockopt(((Stream *)object)->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    Py_RETURN_NONE;
}

static PyObject *
get_sock(PyObject *object, void *none)
{
    Stream *self = (Stream *)object;
    if (self->sock == NULL) {
        if (!self->owned || socket_of == NULL) {
            errno = EBADF;
            return PyErr_SetFromErrno(PyExc_OSError);
        }
        PyObject *fd = PyLong_FromLong(self->fd);
        self->sock = fd == NULL ? NULL : PyObject_CallFunctionObjArgs(socket_of, fd, NULL);
        Py_XDECREF(fd);
        if (self->sock == NULL)
            return NULL;
        self->owned = 0;
    }
    Py_INCREF(self->sock);
    return self->sock;
}

static PyObject *
get_peer_left(PyObject *object, void *none)
{
    Stream *self = (Stream *)object;
    char byte;
    if (!self->connected)
        Py_RETURN_TRUE;
    const ssize_t count = recv(self->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return PyBool_FromLong(count == 0 || (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK));
}

/* -- life */

/* Whether a type has another method than this one. */
static int
overrides(PyTypeObject *type, PyObject *name, PyObject *own)
{
    PyObject *found = PyObject_GetAttr((PyObject *)type, name);
    Py_XDECREF(found);
    return found == NULL ? -1 : found != own;
}

static int
init(PyObject *object, PyObject *args, PyObject *named)
{
    Stream *self = (Stream *)object;
    PyObject *pump, *sock, *peer = Py_None;
    if (!PyArg_ParseTuple(args, "O!O|O:Stream", loop_type, &pump, &sock, &peer))
        return -1;
    if (self->loop != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "a stream is made once");
        return -1;
    }
    if (own_methods[0] == NULL) {
        own_methods[0] = PyObject_GetAttr((PyObject *)stream_type, names.event);
        own_methods[1] = PyObject_GetAttr((PyObject *)stream_type, names._send_now);
    }
    const int fd = PyObject_AsFileDescriptor(sock), own_event = overrides(Py_TYPE(object), names.event, own_methods[0]),
              own_send = overrides(Py_TYPE(object), names._send_now, own_methods[1]);
    if (fd < 0 || own_event < 0 || own_send < 0)
        return -1;
    Py_INCREF(pump);
    Py_INCREF(peer);
    Py_INCREF(Py_None);
    self->loop = (Loop *)pump;
    self->peer = peer;
    self->owned = (char)PyLong_Check(sock);
    if (!self->owned) {
        Py_INCREF(sock);
        self->sock = sock;
    }
    self->protocol = Py_None;
    self->fd = fd;
    self->broke = -1;
    self->size = SMALL_READ;
    self->own_event = (char)own_event;
    self->own_send = (char)own_send;
    self->connected = self->direct = 1;
    return 0;
}

static int
traverse(PyObject *object, visitproc visit, void *arg)
{
    Stream *self = (Stream *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->loop);
    Py_VISIT(self->sock);
    Py_VISIT(self->protocol);
    Py_VISIT(self->bridge);
    Py_VISIT(lane_of_client(self));
    Py_VISIT(self->peer);
    Py_VISIT(self->local);
    Py_VISIT(self->queue);
    Py_VISIT(self->producer);
    Py_VISIT(self->factory);
    Py_VISIT(self->reason);
    Py_VISIT(self->write_error);
    return 0;
}

static int
clear(PyObject *object)
{
    Stream *self = (Stream *)object;
    Py_CLEAR(self->sock);
    Py_CLEAR(self->protocol);
    Py_CLEAR(self->bridge);
    lane_forget(self);
    Py_CLEAR(self->peer);
    Py_CLEAR(self->local);
    Py_CLEAR(self->queue);
    Py_CLEAR(self->producer);
    Py_CLEAR(self->factory);
    Py_CLEAR(self->reason);
    Py_CLEAR(self->write_error);
    return 0;
}

static void
release(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    clear(object);
    Py_CLEAR(((Stream *)object)->loop);
    if (((Stream *)object)->owned)
        close(((Stream *)object)->fd);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"event", handle, METH_O, "event(events)\n\nThe socket's state changed."},
    {"again", look_again, METH_NOARGS, "again()\n\nRead what an edge announced earlier; serve a pull producer."},
    {"write", write_data, METH_O, "write(data)\n\nSend at the end of the pump's round, or at once outside of one."},
    {"send_gathered", send_gathered, METH_NOARGS, "send_gathered()\n\nSend what was written in this round."},
    {"_send_last", send_last, METH_NOARGS, "_send_last()\n\nThe same, where only the end follows in this round."},
    {"_send_now", send_data, METH_O, "_send_now(data)\n\nSend; queue what the kernel refuses."},
    {"_secure", tls_secure, METH_O, "_secure(address)\n\nUse the SSL there, or none for 0; see gateway.transport.openssl."},
    {"registerProducer", (PyCFunction)(void (*)(void))producer_register, METH_VARARGS | METH_KEYWORDS,
     "registerProducer(producer, streaming)\n\nLet it be paused while the queue is not empty, or pulled while it is."},
    {"unregisterProducer", producer_unregister, METH_NOARGS, "unregisterProducer()\n\nForget the producer."},
    {"loseConnection", ending_lose_connection, METH_NOARGS, "loseConnection()\n\nClose when the queue has been sent."},
    {"_finish_if_flushed", ending_finish, METH_NOARGS, "_finish_if_flushed()\n\nDo what was asked for, if all is sent."},
    {"_say_goodbye", ending_say_goodbye, METH_NOARGS, "_say_goodbye()\n\nEverything is sent; it may be closed."},
    {"_lose", ending_lose, METH_O, "_lose(reason)\n\nThe connection is over."},
    {"_ended", ending_tell, METH_NOARGS, "_ended()\n\nTell the protocol."},
    {"_close_socket", ending_close_socket, METH_NOARGS, "_close_socket()\n\nClose so that what was sent last arrives."},
    {"_forget_gathered", forget_gathered, METH_NOARGS, NULL},
    {"_close", close_socket, METH_NOARGS, "_close()\n\nClose the socket. Idempotent."},
    {"_reset", close_with_reset, METH_NOARGS, "_reset()\n\nLet closing the socket reset the connection."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"_pump", T_OBJECT_EX, offsetof(Stream, loop), READONLY, NULL},
    {"_fd", T_INT, offsetof(Stream, fd), READONLY, NULL},
    {"protocol", T_OBJECT_EX, offsetof(Stream, protocol), 0, NULL},
    {"lane", T_NONE, 0, READONLY, "None: what Python reads is for the protocol, for lanes are C's."},
    {"queued", T_PYSSIZET, offsetof(Stream, queued), 0, NULL},
    {"unsent", T_PYSSIZET, offsetof(Stream, unsent), 0, NULL},
    {"connected", T_BOOL, offsetof(Stream, connected), 0, NULL},
    {"waiting", T_BOOL, offsetof(Stream, waiting), 0, NULL},
    {"_direct", T_BOOL, offsetof(Stream, direct), 0, NULL},
    {"_deaf", T_BOOL, offsetof(Stream, deaf), 0, NULL},
    {"_broke", T_INT, offsetof(Stream, broke), READONLY, NULL},
    {"_end_seen", T_BOOL, offsetof(Stream, end_seen), 0, NULL},
    {"_pulls", T_BOOL, offsetof(Stream, pulls), 0, NULL},
    {"_peer", T_OBJECT, offsetof(Stream, peer), 0, NULL},
    {"_local", T_OBJECT, offsetof(Stream, local), 0, NULL},
    {"_queue", T_OBJECT, offsetof(Stream, queue), 0, NULL},
    {"_producer", T_OBJECT, offsetof(Stream, producer), 0, NULL},
    {"_factory", T_OBJECT, offsetof(Stream, factory), 0, NULL},
    {"_reason", T_OBJECT, offsetof(Stream, reason), 0, NULL},
    {"_write_error", T_OBJECT, offsetof(Stream, write_error), 0, NULL},
    {"_closing_write", T_BOOL, offsetof(Stream, closing_write), 0, NULL},
    {"disconnecting", T_BOOL, offsetof(Stream, disconnecting), 0, NULL},
    {"_more", T_BOOL, offsetof(Stream, more), 0, NULL},
    {"_paused", T_BOOL, offsetof(Stream, paused), 0, NULL},
    {"_producer_paused", T_BOOL, offsetof(Stream, producer_paused), 0, NULL},
    {"quiet", T_BOOL, offsetof(Stream, quiet), 0, NULL},
    {"_read_closed", T_BOOL, offsetof(Stream, read_closed), 0, NULL},
    {"_streaming", T_BOOL, offsetof(Stream, streaming), 0, NULL},
    {"_write_closed", T_BOOL, offsetof(Stream, write_closed), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"_sock", get_sock, NULL, "Python's object for the socket, made when it is asked for.", NULL},
    {"peer_left", get_peer_left, NULL, "Whether the peer has closed the connection already.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "See gateway.transport.stream."},
    {Py_tp_init, init},
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear},
    {Py_tp_dealloc, release},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_tp_getset, properties},
    {0, NULL},
};

PyType_Spec stream_spec = {
    "gateway._native.pump.Stream", sizeof(Stream), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    slots,
};
