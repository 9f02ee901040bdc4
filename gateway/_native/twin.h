/* What the extension modules share: objects that Python lends to a module, among them its functions' Python twins.

   A module's functions handle the regular case. For everything else they call the twin with the same arguments,
   so that every refusal, and its words, come from one place, which is not here. */

#ifndef GATEWAY_TWIN_H
#define GATEWAY_TWIN_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stddef.h>
#include <string.h>

/* bind(name, object): keep an object under one of `names`, which ends with NULL; `kept` has a place for each. */
static inline PyObject *
twin_bind(PyObject *args, const char *const *names, PyObject **kept)
{
    const char *name;
    PyObject *object;
    if (!PyArg_ParseTuple(args, "sO:bind", &name, &object))
        return NULL;
    for (int place = 0; names[place] != NULL; place++) {
        if (strcmp(names[place], name) == 0) {
            PyObject *old = kept[place];
            Py_INCREF(object);
            kept[place] = object;
            Py_XDECREF(old);
            Py_RETURN_NONE;
        }
    }
    PyErr_Format(PyExc_ValueError, "nothing is bound as %s", name);
    return NULL;
}

/* Call the twin with what this function was called with. */
static inline PyObject *
twin_call(PyObject *twin, PyObject *const *args, Py_ssize_t count, PyObject *keywords)
{
    if (twin == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the Python twin has not been bound");
        return NULL;
    }
    PyObject *result = NULL, *given = PyTuple_New(count), *named = NULL;
    if (given == NULL)
        return NULL;
    for (Py_ssize_t i = 0; i < count; i++) {
        Py_INCREF(args[i]);
        if (PyTuple_SetItem(given, i, args[i]) < 0)
            goto done;
    }
    if (keywords != NULL) {
        named = PyDict_New();
        if (named == NULL)
            goto done;
        Py_ssize_t more = PyTuple_Size(keywords);
        for (Py_ssize_t i = 0; i < more; i++)
            if (PyDict_SetItem(named, PyTuple_GetItem(keywords, i), args[count + i]) < 0)
                goto done;
    }
    result = PyObject_Call(twin, given, named);
done:
    Py_DECREF(given);
    Py_XDECREF(named);
    return result;
}

/* For the function that starts a module: keep what was made, or fail at once. */
#define KEEP(place, made)               \
    do {                                \
        if (((place) = (made)) == NULL) \
            return -1;                  \
    } while (0)

/* An attribute of a module, by name. */
static inline PyObject *
attribute_of(const char *module_name, const char *name)
{
    PyObject *module = PyImport_ImportModule(module_name);
    if (module == NULL)
        return NULL;
    PyObject *found = PyObject_GetAttrString(module, name);
    Py_DECREF(module);
    return found;
}

#define FUNCTION(name, doc) {#name, (PyCFunction)(void (*)(void))name, METH_FASTCALL | METH_KEYWORDS, doc},

/* The rest of the module gateway._native.`name`, at the end of its file, which has
     `State`: its first `references` bytes are pointers to objects or NULL, with `bound_names` for the first of them,
     `start(module)`, which fills it, and `forget(state)`, which lets go of what the other bytes keep;
     and its `offered` functions, one FUNCTION after the other. */
#define TWIN_MODULE(name, doc, references, forget, offered)                                                   \
    static PyObject *bind(PyObject *module, PyObject *args)                                                   \
    {                                                                                                         \
        return twin_bind(args, bound_names, PyModule_GetState(module));                                       \
    }                                                                                                         \
    static int traverse(PyObject *module, visitproc visit, void *arg)                                         \
    {                                                                                                         \
        return twin_traverse(PyModule_GetState(module), (references) / sizeof(PyObject *), visit, arg);       \
    }                                                                                                         \
    static int clear(PyObject *module)                                                                        \
    {                                                                                                         \
        twin_clear(PyModule_GetState(module), (references) / sizeof(PyObject *));                             \
        forget((State *)PyModule_GetState(module));                                                           \
        return 0;                                                                                             \
    }                                                                                                         \
    static void release(void *module)                                                                         \
    {                                                                                                         \
        clear(module);                                                                                        \
    }                                                                                                         \
    static PyMethodDef functions[] = {                                                                        \
        {"bind", bind, METH_VARARGS, "bind(name, object)\n\nSomething of Python's that is needed here."},     \
        offered {NULL, NULL, 0, NULL},                                                                        \
    };                                                                                                        \
    static PyModuleDef_Slot slots[] = {{Py_mod_exec, start}, {0, NULL}};                                      \
    static struct PyModuleDef definition = {                                                                  \
        PyModuleDef_HEAD_INIT, "gateway._native." #name, doc, sizeof(State), functions, slots, traverse,      \
        clear, release,                                                                                       \
    };                                                                                                        \
    PyMODINIT_FUNC PyInit_##name(void)                                                                        \
    {                                                                                                         \
        return PyModuleDef_Init(&definition);                                                                 \
    }

/* For a state that is nothing but references. */
#define NOTHING_MORE(state) ((void)(state))

static inline int
twin_traverse(PyObject **kept, size_t count, visitproc visit, void *arg)
{
    for (size_t i = 0; i < count; i++)
        Py_VISIT(kept[i]);
    return 0;
}

static inline void
twin_clear(PyObject **kept, size_t count)
{
    for (size_t i = 0; i < count; i++)
        Py_CLEAR(kept[i]);
}

/* A named tuple of gateway.values, which must have as many items as this code knows: an extension that was built for
   another version of it cannot be imported. */
static inline PyObject *
head_type(const char *name, Py_ssize_t items)
{
    PyObject *type = attribute_of("gateway.values", name);
    if (type == NULL)
        return NULL;
    PyObject *fields = PyObject_GetAttrString(type, "_fields");
    if (fields != NULL && PyTuple_Check(fields) && PyTuple_Size(fields) == items && PyType_Check(type)
        && PyType_IsSubtype((PyTypeObject *)type, &PyTuple_Type)) {
        Py_DECREF(fields);
        return type;
    }
    PyErr_Format(PyExc_ImportError, "%s is not the named tuple that this was built for", name);
    Py_XDECREF(fields);
    Py_DECREF(type);
    return NULL;
}

#endif
