/* The C twins of the functions of gateway/transport/sockets.py that make sockets. What they return is a descriptor instead of
   Python's object for it, which few connections ever need. */

#include "pump.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

typedef union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_storage space;
} Address;

/* The name as Python has it: host and port, and for IPv6 flow and scope. */
static PyObject *
name_of(const Address *address, socklen_t length)
{
    char host[NI_MAXHOST];
    if (address->any.sa_family == AF_INET) {
        if (inet_ntop(AF_INET, &address->v4.sin_addr, host, sizeof(host)) == NULL)
            return PyErr_SetFromErrno(PyExc_OSError);
        return Py_BuildValue("(si)", host, (int)ntohs(address->v4.sin_port));
    }
    if (address->any.sa_family != AF_INET6
        || getnameinfo(&address->any, length, host, sizeof(host), NULL, 0, NI_NUMERICHOST) != 0) {
        PyErr_SetString(PyExc_OSError, "a peer whose address has no name");
        return NULL;
    }
    return Py_BuildValue("(siII)", host, (int)ntohs(address->v6.sin6_port), (unsigned)ntohl(address->v6.sin6_flowinfo),
                         (unsigned)address->v6.sin6_scope_id);
}

static PyObject *
accept_one(PyObject *module, PyObject *listening)
{
    Address address;
    socklen_t length = sizeof(address);
    int fd = PyObject_AsFileDescriptor(listening);
    if (fd < 0)
        return NULL;
    do
        fd = accept4(fd, &address.any, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            Py_RETURN_NONE;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    PyObject *name = name_of(&address, length), *result = name == NULL ? NULL : Py_BuildValue("(iO)", fd, name);
    Py_XDECREF(name);
    if (result == NULL)
        close(fd);
    return result;
}

static PyObject *
begin(PyObject *module, PyObject *args)
{
    Address address = {0};
    socklen_t length = sizeof(address.v4);
    const char *host;
    int port;
    const int on = 1;
    if (!PyArg_ParseTuple(args, "si:begin", &host, &port))
        return NULL;
    if (inet_pton(AF_INET, host, &address.v4.sin_addr) == 1) {
        address.v4.sin_family = AF_INET;
        address.v4.sin_port = htons((uint16_t)port);
    } else if (inet_pton(AF_INET6, host, &address.v6.sin6_addr) == 1) {
        address.v6.sin6_family = AF_INET6;
        address.v6.sin6_port = htons((uint16_t)port);
        length = sizeof(address.v6);
    } else {
        return PyObject_CallObject(begin_in_python, args); /* an address with a scope */
    }
    const int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    const int code = connect(fd, &address.any, length) < 0 ? errno : 0;
    PyObject *result = Py_BuildValue("(ii)", fd, code == EINPROGRESS ? 0 : code);
    if (result == NULL)
        close(fd);
    return result;
}

static PyObject *
reached(PyObject *module, PyObject *handle)
{
    Address address;
    socklen_t length = sizeof(address);
    const int fd = PyObject_AsFileDescriptor(handle);
    if (fd < 0)
        return NULL;
    if (getpeername(fd, &address.any, &length) == 0)
        return PyLong_FromLong(0);
    int code = 0;
    length = sizeof(code);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &length) < 0)
        code = errno;
    return PyLong_FromLong(code ? code : -1);
}

PyMethodDef socket_functions[] = {
    {"accept", accept_one, METH_O, "accept(listening)\n\nA connection that waits, or None."},
    {"begin", begin, METH_VARARGS, "begin(host, port)\n\nBegin to connect: a descriptor, and the error if there was one."},
    {"reached", reached, METH_O, "reached(handle)\n\n0 if the connection is there, else its error, -1 for not yet."},
    {NULL, NULL, 0, NULL},
};
