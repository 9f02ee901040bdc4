/* What the head parser offers to other extension modules, through the capsule gateway._native.heads.api. */

#ifndef GATEWAY_HEADS_H
#define GATEWAY_HEADS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "spans.h"

#define HEADS_API "gateway._native.heads.api"

typedef struct {
    /* A RequestHead of what `read_request` has read; NULL with an exception set. */
    PyObject *(*request)(const Head *head, int method, Span target, long long body);
} HeadsAPI;

#endif
