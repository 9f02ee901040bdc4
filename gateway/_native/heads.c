/* The C twin of `parse_request` and `parse_response` in gateway/http/heads.py, for regular heads.

   First a head is read (reading.h), which makes no objects and only says whether all of it is regular; then the
   objects are made. What is not regular, for whatever reason, is left to the Python twin, which has the verdict:
   what is accepted here must be accepted there with an equal result, and nothing else is promised. */

#include "twin.h"

#include "heads.h"
#include "reading.h"

#define NAMES 512     /* places in the memo of field names */
#define USUAL_NAME 40 /* the longest of those that are remembered */

/* How many items RequestHead and ResponseHead have. */
enum { REQUEST_ITEMS = 10, RESPONSE_ITEMS = 9 };

/* A field name that was seen before, as spelled and in lower case. */
typedef struct {
    PyObject *name, *lower;
    uint8_t size;
    char spelled[USUAL_NAME];
} Name;

enum { TWIN_REQUEST, TWIN_RESPONSE, BOUND };
static const char *const bound_names[] = {"parse_request", "parse_response", NULL};

/* Names that others look up in an index: the same objects as the constants of their code. */
static const char *const common[] = {
    "accept", "accept-encoding", "authorization", "connection", "content-length", "content-type", "cookie", "date",
    "expect", "host", "sec-websocket-accept", "sec-websocket-extensions", "sec-websocket-key",
    "sec-websocket-protocol", "sec-websocket-version", "server", "te", "transfer-encoding", "upgrade", "user-agent",
    "x-forwarded-for", NULL,
};

typedef struct {
    PyObject *bound[BOUND];
    PyObject *methods[METHODS];
    PyObject *request_type, *response_type, *limits, *common;
    PyObject *version, *empty, *websocket, *nothing, *zero, *cookie;
    /* not references only */
    Name names[NAMES];
} State;

/* -- making */

static PyObject *
text_of(Span span)
{
    return PyUnicode_DecodeLatin1((const char *)span.at, span.size, NULL);
}

/* A name in lower case; the object that is common for it, if there is one. */
static PyObject *
lower_of(State *state, Span name)
{
    char lower[LONGEST_NAME];
    for (Py_ssize_t i = 0; i < name.size && i < LONGEST_NAME; i++)
        lower[i] = (char)token[name.at[i]];
    PyObject *made = PyUnicode_DecodeLatin1(lower, name.size, NULL);
    if (made == NULL)
        return NULL;
    PyObject *same = PyDict_GetItemWithError(state->common, made);
    if (same == NULL) {
        if (!PyErr_Occurred())
            return made;
        Py_DECREF(made);
        return NULL;
    }
    Py_INCREF(same);
    Py_DECREF(made);
    return same;
}

/* New references to a name as spelled and in lower case. Names of usual length are remembered: one place for each
   hash, so that the memo is bounded, and what comes last stays. */
static int
name_of(State *state, const Field *field, PyObject **name, PyObject **lower)
{
    Name *place = NULL;
    if (field->name.size <= USUAL_NAME) {
        place = &state->names[(field->hash ^ (field->hash >> 15)) % NAMES];
        if (place->name != NULL && place->size == field->name.size
            && memcmp(place->spelled, field->name.at, place->size) == 0) {
            Py_INCREF(place->name);
            Py_INCREF(place->lower);
            *name = place->name;
            *lower = place->lower;
            return 0;
        }
    }
    *name = text_of(field->name);
    if (*name == NULL)
        return -1;
    *lower = lower_of(state, field->name);
    if (*lower == NULL) {
        Py_DECREF(*name);
        return -1;
    }
    if (place != NULL) {
        PyObject *old_name = place->name, *old_lower = place->lower;
        Py_INCREF(*name);
        Py_INCREF(*lower);
        place->name = *name;
        place->lower = *lower;
        place->size = (uint8_t)field->name.size;
        memcpy(place->spelled, field->name.at, (size_t)field->name.size);
        Py_XDECREF(old_name);
        Py_XDECREF(old_lower);
    }
    return 0;
}

/* Make the index again, with the values of repeated fields joined. */
static int
join_repeated(State *state, const Head *head, PyObject *fields, PyObject *index)
{
    PyDict_Clear(index);
    for (Py_ssize_t i = 0; i < head->count; i++) {
        PyObject *name, *lower, *value = PyTuple_GetItem(PyList_GetItem(fields, i), 1);
        if (name_of(state, &head->fields[i], &name, &lower) < 0)
            return -1;
        Py_DECREF(name);
        PyObject *before = PyDict_GetItemWithError(index, lower);
        int failed;
        if (before == NULL) {
            failed = PyErr_Occurred() != NULL || PyDict_SetItem(index, lower, value) < 0;
        } else {
            int cookie = PyUnicode_Compare(lower, state->cookie) == 0;
            PyObject *joined = PyUnicode_FromFormat(cookie ? "%U; %U" : "%U, %U", before, value);
            failed = joined == NULL || PyDict_SetItem(index, lower, joined) < 0;
            Py_XDECREF(joined);
        }
        Py_DECREF(lower);
        if (failed)
            return -1;
    }
    return 0;
}

/* The list of fields and the index. `host`, if not NULL, becomes a new reference to the value of Host. */
static int
make_fields(State *state, const Head *head, PyObject **fields, PyObject **index, PyObject **host)
{
    *fields = PyList_New(head->count);
    *index = PyDict_New();
    if (*fields == NULL || *index == NULL)
        goto failed;
    for (Py_ssize_t i = 0; i < head->count; i++) {
        PyObject *name, *lower, *value = text_of(head->fields[i].value);
        if (value == NULL)
            goto failed;
        if (name_of(state, &head->fields[i], &name, &lower) < 0) {
            Py_DECREF(value);
            goto failed;
        }
        PyObject *pair = PyTuple_New(2);
        int bad = PyDict_SetItem(*index, lower, value) < 0 || pair == NULL;
        Py_DECREF(lower);
        if (bad) {
            Py_DECREF(name);
            Py_DECREF(value);
            Py_XDECREF(pair);
            goto failed;
        }
        PyTuple_SetItem(pair, 0, name);
        PyTuple_SetItem(pair, 1, value);
        PyList_SetItem(*fields, i, pair);
    }
    if (PyDict_Size(*index) != head->count && join_repeated(state, head, *fields, *index) < 0)
        goto failed;
    if (host != NULL) {
        *host = PyTuple_GetItem(PyList_GetItem(*fields, head->which[HOST]), 1);
        Py_INCREF(*host);
    }
    return 0;
failed:
    Py_XDECREF(*fields);
    Py_XDECREF(*index);
    return -1;
}

/* A named tuple with these items, whose references are taken over also on failure; an item may be NULL for one that
   could not be made. */
static PyObject *
named_tuple(PyObject *type, PyObject **items, Py_ssize_t count)
{
    int whole = 1;
    for (Py_ssize_t i = 0; i < count; i++)
        whole &= items[i] != NULL;
    PyObject *made = whole ? PyType_GenericAlloc((PyTypeObject *)type, count) : NULL;
    for (Py_ssize_t i = 0; i < count; i++) {
        if (made == NULL)
            Py_XDECREF(items[i]);
        else
            PyTuple_SetItem(made, i, items[i]);
    }
    return made;
}

static inline PyObject *
shared(PyObject *object)
{
    Py_INCREF(object);
    return object;
}

static PyObject *
make_body(State *state, long long body)
{
    return body == 0 ? shared(state->zero) : PyLong_FromLongLong(body);
}

/* -- the functions */

static int
read_limits(PyObject *given, Limits *limits)
{
    if (!PyTuple_Check(given) || PyTuple_Size(given) != 3)
        return 0;
    limits->head = PyLong_AsSsize_t(PyTuple_GetItem(given, 0));
    limits->fields = PyLong_AsSsize_t(PyTuple_GetItem(given, 1));
    limits->target = PyLong_AsSsize_t(PyTuple_GetItem(given, 2));
    if (limits->head >= 0 && limits->fields >= 0 && limits->target >= 0)
        return 1;
    PyErr_Clear();
    return 0;
}

static PyObject *
make_request(State *state, const Head *head, int method, Span target, long long body)
{
    PyObject *fields, *index, *host;
    if (make_fields(state, head, &fields, &index, &host) < 0)
        return NULL;
    PyObject *items[REQUEST_ITEMS] = {
        shared(state->methods[method]),
        text_of(target),
        shared(state->version),
        host,
        fields,
        index,
        make_body(state, body),
        shared(head->close ? Py_False : Py_True),
        shared(head->upgrade ? state->websocket : state->empty),
        shared(state->nothing),
    };
    return named_tuple(state->request_type, items, REQUEST_ITEMS);
}

static PyObject *
parse_request(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *keywords)
{
    State *state = PyModule_GetState(module);
    Head head;
    Span target;
    Limits limits;
    long long body;
    int method = -1;
    if (keywords == NULL && (count == 1 || count == 2) && PyBytes_CheckExact(args[0])
        && read_limits(count == 2 ? args[1] : state->limits, &limits)) {
        const uint8_t *data = (const uint8_t *)PyBytes_AsString(args[0]);
        method = read_request(&head, &target, &body, data, PyBytes_Size(args[0]), limits);
    }
    if (method < 0)
        return twin_call(state->bound[TWIN_REQUEST], args, count, keywords);
    return make_request(state, &head, method, target, body);
}

static PyObject *
parse_response(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *keywords)
{
    State *state = PyModule_GetState(module);
    Head head;
    Span reason;
    Limits limits;
    long long body;
    int status = -1;
    if (keywords == NULL && (count == 2 || count == 3) && PyBytes_CheckExact(args[0])
        && PyUnicode_CheckExact(args[1]) && read_limits(count == 3 ? args[2] : state->limits, &limits)) {
        const uint8_t *data = (const uint8_t *)PyBytes_AsString(args[0]);
        status = read_response(&head, &reason, &body, data, PyBytes_Size(args[0]), limits);
    }
    if (status < 0)
        return twin_call(state->bound[TWIN_RESPONSE], args, count, keywords);
    if (status == 304 || PyUnicode_CompareWithASCIIString(args[1], "HEAD") == 0) {
        body = 0;
    } else if (status == 204 || status < 200) {
        if (body > 0 || body == CHUNKED)
            head.close = 1;
        body = 0;
    } else if (body == UNTIL_CLOSE) {
        head.close = 1;
    }
    PyObject *fields, *index;
    if (make_fields(state, &head, &fields, &index, NULL) < 0)
        return NULL;
    PyObject *items[RESPONSE_ITEMS] = {
        PyLong_FromLong(status),
        text_of(reason),
        shared(state->version),
        fields,
        index,
        make_body(state, body),
        shared(head.close ? Py_False : Py_True),
        shared(head.upgrade ? state->websocket : state->empty),
        shared(state->nothing),
    };
    return named_tuple(state->response_type, items, RESPONSE_ITEMS);
}

/* -- the module */

/* What other extension modules get has no module to ask: the first that was made, which is the one that stays. */
static State *the_state;

static PyObject *
request_for_others(const Head *head, int method, Span target, long long body)
{
    if (the_state != NULL)
        return make_request(the_state, head, method, target, body);
    PyErr_SetString(PyExc_RuntimeError, "the head parser is gone");
    return NULL;
}

static const HeadsAPI api = {request_for_others};

static int
start(PyObject *module)
{
    State *state = PyModule_GetState(module);
    fill_table();
    KEEP(state->request_type, head_type("RequestHead", REQUEST_ITEMS));
    KEEP(state->response_type, head_type("ResponseHead", RESPONSE_ITEMS));
    KEEP(state->limits, attribute_of("gateway.http.limits", "DEFAULT"));
    KEEP(state->common, PyDict_New());
    KEEP(state->version, PyUnicode_InternFromString("1.1"));
    KEEP(state->empty, PyUnicode_InternFromString(""));
    KEEP(state->websocket, PyUnicode_InternFromString("websocket"));
    KEEP(state->cookie, PyUnicode_InternFromString("cookie"));
    KEEP(state->nothing, PyTuple_New(0));
    KEEP(state->zero, PyLong_FromLong(0));
    for (int i = 0; i < METHODS; i++)
        KEEP(state->methods[i], PyUnicode_InternFromString(methods[i]));
    for (int i = 0; common[i] != NULL; i++) {
        PyObject *name = PyUnicode_InternFromString(common[i]);
        int failed = name == NULL || PyDict_SetItem(state->common, name, name) < 0;
        Py_XDECREF(name);
        if (failed)
            return -1;
    }
    PyObject *capsule = PyCapsule_New((void *)&api, HEADS_API, NULL);
    const int failed = capsule == NULL || PyModule_AddObjectRef(module, "api", capsule) < 0;
    Py_XDECREF(capsule);
    if (failed)
        return -1;
    if (the_state == NULL)
        the_state = state;
    return 0;
}

static void
forget(State *state)
{
    if (the_state == state)
        the_state = NULL;
    for (int i = 0; i < NAMES; i++) {
        Py_CLEAR(state->names[i].name);
        Py_CLEAR(state->names[i].lower);
    }
}

TWIN_MODULE(heads, "C twins of gateway.http.heads.", offsetof(State, names), forget,
            FUNCTION(parse_request, "parse_request(data, limits=DEFAULT)\n\nSee gateway.http.heads.")
            FUNCTION(parse_response, "parse_response(data, method, limits=DEFAULT)\n\nSee gateway.http.heads."))
