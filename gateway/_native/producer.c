/* Who feeds a stream: methods of `Stream`, see gateway/transport/stream.py. */

#include "pump.h"

PyObject *
producer_register(PyObject *object, PyObject *args, PyObject *named)
{
    static char *names_of[] = {"producer", "streaming", NULL};
    Stream *self = (Stream *)object;
    PyObject *producer;
    int streaming;
    if (!PyArg_ParseTupleAndKeywords(args, named, "Op:registerProducer", names_of, &producer, &streaming))
        return NULL;
    if (!streaming || !self->connected || is_there(self->producer) || is_there(self->queue))
        return PyObject_CallMethodObjArgs(object, names._register, producer, streaming ? Py_True : Py_False, NULL);
    PyObject *before = self->producer;
    Py_INCREF(producer);
    self->producer = producer;
    self->streaming = 1;
    self->producer_paused = 0;
    Py_XDECREF(before);
    Py_RETURN_NONE;
}

PyObject *
producer_unregister(PyObject *object, PyObject *none)
{
    Stream *self = (Stream *)object;
    PyObject *before = self->producer;
    self->producer = NULL;
    self->pulls = 0;
    Py_XDECREF(before);
    if (self->disconnecting || self->closing_write)
        return ending_finish(object, NULL);
    Py_RETURN_NONE;
}
