/* The C twin of `Ending` in gateway/transport/ending.py: methods of `Stream`. What a subclass may have otherwise is called by
   its name. */

#include "pump.h"

#include <sys/socket.h>

#define PIECE (64 * 1024)

static struct {
    PyObject *done, *told, *nobody, *failure, *linger;
} ending;

void
ending_bind(PyObject *const *lent)
{
    ending.done = lent[0];
    ending.told = lent[1];
    ending.nobody = lent[2];
    ending.failure = lent[3];
    ending.linger = lent[4];
}

/* The stream; NULL with an exception set where it was not made as it has to be. */
static Stream *
made(PyObject *object)
{
    Stream *self = (Stream *)object;
    if (self->loop != NULL && ending.linger != NULL)
        return self;
    PyErr_SetString(PyExc_RuntimeError, "Stream.__init__ has not been called");
    return NULL;
}

/* Close, or close the write side, if that was asked for and everything is sent. */
static int
finish_if_flushed(Stream *self)
{
    const int waits = is_there(self->queue) ? PyObject_IsTrue(self->queue) : 0;
    if (waits || !self->connected || (is_there(self->producer) && !self->streaming))
        return waits < 0 ? -1 : 0;
    if (self->disconnecting)
        return tell((PyObject *)self, names._say_goodbye, NULL);
    return self->closing_write && !self->write_closed ? tell((PyObject *)self, names._half_close, NULL) : 0;
}

static int
lose(Stream *self, PyObject *reason)
{
    if (!self->connected)
        return 0;
    self->connected = self->direct = 0;
    self->deaf = 1;
    self->unsent += (Py_ssize_t)self->gathered + self->queued;
    self->gathered = 0;
    self->queued = 0;
    PyObject *before = self->reason, *queue = self->queue;
    Py_INCREF(reason);
    self->reason = reason;
    self->queue = NULL;
    Py_XDECREF(before);
    Py_XDECREF(queue);
    return loop_remove(self->loop, self->fd) < 0 || loop_end(self->loop, self) < 0 ? -1 : 0;
}

/* Whether the peer has said that it sends nothing more, and has sent nothing more. */
static int
keeps_its_word(const Stream *self)
{
    char byte;
    return self->quiet && recv(self->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0;
}

/* Close the write side, and the rest when the peer has done so too (see gateway/transport/linger.py). */
static PyObject *
close_gently(Stream *self)
{
    PyObject *object = (PyObject *)self, *result = NULL;
    ssize_t count = shutdown(self->fd, SHUT_WR);
    if (!count)
        count = recv(self->fd, free_space(self->loop), PIECE, MSG_DONTWAIT);
    if (!count || (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK))
        return PyObject_CallMethodObjArgs(object, names._close, NULL);
    PyObject *fd = self->sock == NULL ? PyLong_FromLong(self->fd)
                                      : PyObject_CallMethodObjArgs(self->sock, names.detach, NULL);
    PyObject *unread = count > 0 ? Py_True : Py_False;
    self->owned = 0;
    if (fd != NULL)
        result = PyObject_CallFunctionObjArgs(ending.linger, (PyObject *)self->loop, fd, unread, NULL);
    Py_XDECREF(fd);
    return result;
}

/* Tell the protocol, and who feeds it, if that is not the protocol itself. */
static int
tell_end(Stream *self, PyObject *producer)
{
    PyObject *reason = is_there(self->reason) ? self->reason : Py_None, *protocol = self->protocol, *failure = ending.told;
    if (protocol == NULL) {
        PyErr_SetString(PyExc_AttributeError, "protocol");
        return -1;
    }
    if (is_there(producer) && producer != protocol && tell(producer, names.stopProducing, NULL) < 0)
        return -1;
    if (reason == ending.done)
        Py_INCREF(failure);
    else
        failure = PyObject_CallFunctionObjArgs(ending.failure, reason, NULL);
    if (failure == NULL)
        return -1;
    Py_INCREF(protocol);
    const int failed = tell(protocol, names.connectionLost, failure);
    Py_DECREF(protocol);
    Py_DECREF(failure);
    return failed;
}

/* -- what Python sees */

PyObject *
ending_lose_connection(PyObject *object, PyObject *none)
{
    Stream *self = made(object);
    if (self == NULL)
        return NULL;
    if (self->disconnecting || !self->connected)
        Py_RETURN_NONE;
    if (stream_send_last(self) < 0)
        return NULL;
    const int unread = self->more || self->paused;
    self->disconnecting = self->deaf = 1;
    self->direct = self->paused = 0;
    if (finish_if_flushed(self) < 0 || (unread && self->connected && soon(self->loop, object) < 0))
        return NULL;
    Py_RETURN_NONE;
}

PyObject *
ending_finish(PyObject *object, PyObject *none)
{
    Stream *self = made(object);
    if (self == NULL || finish_if_flushed(self) < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyObject *
ending_say_goodbye(PyObject *object, PyObject *none)
{
    if (made(object) == NULL || tell(object, names._lose, ending.done) < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyObject *
ending_lose(PyObject *object, PyObject *reason)
{
    Stream *self = made(object);
    if (self == NULL || lose(self, reason) < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyObject *
ending_tell(PyObject *object, PyObject *none)
{
    Stream *self = made(object);
    if (self == NULL)
        return NULL;
    PyObject *producer = self->producer;
    self->producer = NULL;
    self->pulls = 0;
    int failed = tell_end(self, producer);
    Py_XDECREF(producer);
    if (failed) {
        PyObject *error = caught();
        failed = tell(object, names._end_failed, error);
        Py_DECREF(error);
    }
    /* Else the two would keep each other until the garbage collector comes. */
    PyObject *protocol = self->protocol, *factory = self->factory;
    Py_INCREF(ending.nobody);
    self->protocol = ending.nobody;
    self->factory = NULL;
    Py_XDECREF(protocol);
    if (!failed && is_there(factory))
        failed = tell(factory, names.doStop, NULL);
    Py_XDECREF(factory);
    if (failed)
        return NULL;
    Py_RETURN_NONE;
}

PyObject *
ending_close_socket(PyObject *object, PyObject *none)
{
    Stream *self = made(object);
    if (self == NULL)
        return NULL;
    int gently = self->disconnecting && !self->read_closed && is_there(self->reason) && !keeps_its_word(self);
    if (gently)
        gently = PyObject_IsInstance(self->reason, (PyObject *)Py_TYPE(ending.done));
    if (gently < 0)
        return NULL;
    return gently ? close_gently(self) : PyObject_CallMethodObjArgs(object, names._close, NULL);
}
