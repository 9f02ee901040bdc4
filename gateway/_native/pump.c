/* The module of `Loop`, `Stream`, `Lane` and `bridge`; see pump.h. */

#include "pump.h"

Names names;
PyTypeObject *loop_type, *stream_type, *bridge_type, *lane_type;
PyObject *reason_of, *socket_of, *begin_in_python;
const FramesAPI *frames_api;

static const char *const bound_names[] = {
    "lost", "socket_of", "begin", "bridge", "accept", "reached", "request_stays", "response_stays", "date_now",
    "accept_for", "done", "told", "nobody", "failure", "linger", NULL,
};
static PyObject *bound[15];

static PyObject *
bind(PyObject *module, PyObject *args)
{
    PyObject *result = twin_bind(args, bound_names, bound);
    reason_of = bound[0];
    socket_of = bound[1];
    begin_in_python = bound[2];
    lane_bind(bound + 6);
    ending_bind(bound + 10);
    return result;
}

static PyObject *
bridge(PyObject *module, PyObject *args)
{
    return bridge_made(args);
}

static PyObject *
openssl(PyObject *module, PyObject *args)
{
    return tls_functions(args);
}

static int
add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **type)
{
    KEEP(*type, (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL));
    return PyModule_AddType(module, *type);
}

static int
start(PyObject *module)
{
#define INTERN(name) KEEP(names.name, PyUnicode_InternFromString(#name));
    METHODS(INTERN)
    if (loop_type != NULL) {
        PyErr_SetString(PyExc_ImportError, "the pump is made once in a process");
        return -1;
    }
    if (add_type(module, &loop_spec, &loop_type) < 0 || add_type(module, &stream_spec, &stream_type) < 0
        || add_type(module, &bridge_spec, &bridge_type) < 0 || add_type(module, &lane_spec, &lane_type) < 0)
        return -1;
    PyObject *api = attribute_of("gateway._native.frames", "api");
    if (api == NULL) {
        PyErr_Clear(); /* not built: there are no scanners in C then, and no bridges with one */
        return 0;
    }
    frames_api = PyCapsule_GetPointer(api, FRAMES_API);
    Py_DECREF(api);
    return frames_api == NULL ? -1 : 0;
}

static int
add_functions(PyObject *module)
{
    return PyModule_AddFunctions(module, socket_functions);
}

static PyMethodDef functions[] = {
    {"bind", bind, METH_VARARGS, "bind(name, object)\n\nThe functions and twins that are called from here."},
    {"bridge", bridge, METH_VARARGS,
     "bridge(source, target, scanner, owner)\n\nJoin one direction of two streams; None where that cannot be done."},
    {"openssl", openssl, METH_VARARGS, "openssl(read, write, get_error, clear_error)\n\nWhere these functions are."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{Py_mod_exec, start}, {Py_mod_exec, add_functions}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "gateway._native.pump", "The pump in C.", 0, functions, slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC
PyInit_pump(void)
{
    return PyModuleDef_Init(&definition);
}
