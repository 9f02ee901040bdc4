/* The C twin of `unmasked` in gateway/websocket/frames.py: a WebSocket masking key put on or taken off (RFC 6455 §5.3). */

#include "twin.h"

#include <stdint.h>

enum { UNMASKED, BOUND };
static const char *const bound_names[] = {"unmasked", NULL};

typedef struct {
    PyObject *bound[BOUND];
} State;

static PyObject *
unmasked(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *keywords)
{
    if (keywords != NULL || count != 2 || !PyBytes_CheckExact(args[0]) || !PyBytes_CheckExact(args[1])
        || PyBytes_Size(args[1]) != 4)
        return twin_call(((State *)PyModule_GetState(module))->bound[UNMASKED], args, count, keywords);
    const Py_ssize_t size = PyBytes_Size(args[0]);
    PyObject *result = PyBytes_FromStringAndSize(NULL, size);
    if (result == NULL)
        return NULL;
    const uint8_t *in = (const uint8_t *)PyBytes_AsString(args[0]);
    uint8_t *out = (uint8_t *)PyBytes_AsString(result);
    uint8_t key[8];
    memcpy(key, PyBytes_AsString(args[1]), 4);
    memcpy(key + 4, key, 4);
    uint64_t keys, word;
    memcpy(&keys, key, 8);
    Py_ssize_t at = 0;
    for (; at + 8 <= size; at += 8) {
        memcpy(&word, in + at, 8);
        word ^= keys;
        memcpy(out + at, &word, 8);
    }
    for (; at < size; at++)
        out[at] = in[at] ^ key[at & 3];
    return result;
}

static int
start(PyObject *module)
{
    (void)module;
    return 0;
}

TWIN_MODULE(masking, "The C twin of unmasked.", sizeof(State), NOTHING_MORE,
            FUNCTION(unmasked, "unmasked(payload, key)\n\nSee gateway.websocket.frames."))
