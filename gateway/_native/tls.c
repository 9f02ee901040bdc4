/* TLS between OpenSSL and a stream, without Python in between. The OpenSSL is the one inside the cryptography package, so its
   functions come as addresses. What goes wrong is not judged here: a method in Python asks OpenSSL again, and hears it. */

#include "pump.h"

#include <errno.h>
#include <limits.h>

#define RECORD 16384
#define WANT_READ 2 /* SSL_ERROR_… of ssl.h */
#define WANT_WRITE 3

static struct {
    int (*read)(void *ssl, void *to, int size);
    int (*write)(void *ssl, const void *from, int size);
    int (*error)(const void *ssl, int result);
    void (*clear)(void);
} openssl;

static int
wants(Stream *self, int result)
{
    const int why = openssl.error(self->ssl, result);
    return why == WANT_READ || why == WANT_WRITE;
}

/* As stream_read: what is there, up to a limit. */
ssize_t
tls_read(Stream *self)
{
    char *space = free_space(self->loop);
    ssize_t count = 0;
    while (count + RECORD <= LARGE_READ) {
        errno = 0;
        const int got = openssl.read(self->ssl, space + count, RECORD), number = errno;
        if (got > 0) {
            count += got;
            continue;
        }
        if (wants(self, got))
            return count;
        if (self->broke < 0)
            self->broke = number; /* neither the kernel nor OpenSSL says it twice */
        if (!count)
            return tell((PyObject *)self, names._read, NULL);
        openssl.clear(); /* it is asked again when these bytes have been delivered */
        break;
    }
    self->unread = 1;
    return count;
}

/* As send_now in stream.c. */
int
tls_send(Stream *self, const char *data, size_t size, PyObject *owner)
{
    size_t sent = 0;
    while (sent < size) {
        const size_t left = size - sent;
        const int got = openssl.write(self->ssl, data + sent, left > INT_MAX ? INT_MAX : (int)left);
        if (got <= 0) {
            PyObject *method = wants(self, got) ? names._enqueue : names._send_now;
            return stream_call_with(self, method, data + sent, left, sent ? NULL : owner);
        }
        sent += (size_t)got;
    }
    return 0;
}

/* -- what Python sees */

PyObject *
tls_functions(PyObject *args)
{
    unsigned long long read, write, error, clear;
    if (!PyArg_ParseTuple(args, "KKKK:openssl", &read, &write, &error, &clear))
        return NULL;
    openssl.read = (int (*)(void *, void *, int))(uintptr_t)read;
    openssl.write = (int (*)(void *, const void *, int))(uintptr_t)write;
    openssl.error = (int (*)(const void *, int))(uintptr_t)error;
    openssl.clear = (void (*)(void))(uintptr_t)clear;
    Py_RETURN_NONE;
}

PyObject *
tls_secure(PyObject *object, PyObject *address)
{
    const unsigned long long place = PyLong_AsUnsignedLongLong(address);
    if (PyErr_Occurred())
        return NULL;
    if (openssl.read == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "openssl() has not been called");
        return NULL;
    }
    ((Stream *)object)->ssl = (void *)(uintptr_t)place;
    Py_RETURN_NONE;
}
