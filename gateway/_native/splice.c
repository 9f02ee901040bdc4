/* Bytes that go from one socket to another without being copied: through a pipe, which is empty before and after. */

#include "pump.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define NOT_YET (-1)
#define NEVER (-2)

static int pipe_ends[2] = {NOT_YET, NOT_YET}; /* one for all, as it never keeps anything */

static void
close_pipe(int then)
{
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    pipe_ends[0] = then;
}

/* A pipe of the usual 64 KiB, which is what there is where a user has too many, would cost more than it saves. */
static int
have_pipe(void)
{
    if (pipe_ends[0] == NOT_YET && pipe2(pipe_ends, O_NONBLOCK | O_CLOEXEC) == 0
        && fcntl(pipe_ends[1], F_SETPIPE_SZ, SPLICED) < 0)
        close_pipe(NEVER);
    return pipe_ends[0] >= 0;
}

/* How many bytes the kernel would take for this socket. */
static size_t
room_of(int fd)
{
    enum {BUFFER = 3, QUEUED = 5, VALUES = 9}; /* as in linux/sock_diag.h, which is not everywhere */
    uint32_t memory[VALUES] = {0};
    socklen_t size = sizeof(memory);
    if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &size) < 0 || memory[QUEUED] >= memory[BUFFER])
        return 0;
    return memory[BUFFER] - memory[QUEUED];
}

/* How many bytes can be read from this socket. */
static size_t
waiting_at(int fd)
{
    int count;
    return ioctl(fd, FIONREAD, &count) < 0 ? 0 : (size_t)count;
}

static ssize_t
move(int from, int to, size_t most)
{
    ssize_t count;
    do
        count = splice(from, NULL, to, NULL, most, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    while (count < 0 && errno == EINTR);
    return count;
}

/* What is left in the pipe. */
static PyObject *
emptied(size_t size)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (bytes != NULL && read(pipe_ends[0], PyBytes_AsString(bytes), size) == (ssize_t)size)
        return bytes;
    Py_XDECREF(bytes);
    if (!PyErr_Occurred())
        PyErr_SetFromErrno(PyExc_OSError);
    close_pipe(NOT_YET);
    return NULL;
}

ssize_t
stream_splice(Stream *source, Stream *target, size_t most, PyObject **rest)
{
    if (most < SPLICED_LEAST || source->size < LARGE_READ /* it has not sent much so far */
        || source->ssl != NULL || target->ssl != NULL || target->own_send || !target->direct || target->gathered)
        return 0;
    const size_t waiting = waiting_at(source->fd);
    if (waiting < SPLICED_LEAST || waiting > most)
        return 0;
    const size_t room = room_of(target->fd);
    if (room < SPLICED_LEAST || !have_pipe())
        return 0;
    const ssize_t count = move(source->fd, pipe_ends[1], waiting < room ? waiting : room);
    if (count <= 0)
        return 0; /* reading will tell why */
    source->unread = (size_t)count < waiting;
    ssize_t left = count, sent = 1;
    while (left && sent > 0) {
        sent = move(pipe_ends[0], target->fd, (size_t)left);
        if (sent > 0)
            left -= sent;
    }
    *rest = left ? emptied((size_t)left) : PyBytes_FromStringAndSize(NULL, 0);
    return *rest == NULL ? -1 : count;
}
