/* What the frame scanner offers to other extension modules, through the capsule gateway._native.frames.api. */

#ifndef GATEWAY_FRAMES_H
#define GATEWAY_FRAMES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>

#define FRAMES_API "gateway._native.frames.api"

typedef struct {
    PyTypeObject *type; /* FrameScanner */
    int (*feed)(PyObject *scanner, const uint8_t *data, uint64_t size); /* -1 with a FrameError set */
    int (*closed)(PyObject *scanner);                                   /* a close frame has passed */
    uint64_t (*skippable)(PyObject *scanner); /* bytes to come that are only counted: feed() needs no `data` for them */
} FramesAPI;

#endif
