/* The C twin of `request_bytes` and `response_bytes` in gateway/http/forwarding.py, for regular heads.

   Which field lines stay is not known here: Python lends its memo of names, and a name that is not in it makes the
   head the Python twin's, which puts it there. So is everything that is not ASCII or not of the exact type.

   The pieces that are collected point into objects that the head, the arguments or the module's state keep alive, and
   no Python code runs between collecting and copying. */

#include "twin.h"

#include <time.h>

#define MOST_FIELDS 128
#define MOST_PIECES 24
#define CHUNKED (-1)
#define UNTIL_CLOSE (-2)

enum { METHOD, TARGET, REQUEST_VERSION, REQUEST_HOST, REQUEST_FIELDS, REQUEST_INDEX };
enum { REQUEST_NOMINATED = 9, REQUEST_ITEMS };
enum { STATUS, REASON, VERSION, FIELDS, INDEX, BODY, NOMINATED = 8, RESPONSE_ITEMS };

enum { TWIN_REQUEST, TWIN_RESPONSE, REQUEST_STAYS, RESPONSE_STAYS, DATE_NOW, BOUND };
static const char *const bound_names[] = {
    "request_bytes", "response_bytes", "request_stays", "response_stays", "date_now", NULL,
};

typedef struct {
    PyObject *bound[BOUND];
    PyObject *request_type, *response_type;
    PyObject *content_length, *te, *upgrade, *date, *date_text;
    time_t second; /* of date_text */
} State;

typedef struct {
    const char *at;
    Py_ssize_t size;
} Piece;

/* What is going to be written: pieces, field lines, and pieces again. */
typedef struct {
    Py_ssize_t total;
    int count, before; /* how many of the pieces come before the field lines */
    Py_ssize_t lines;
    Piece pieces[MOST_PIECES];
    char number[24];
    struct {
        Piece name, value;
    } line[MOST_FIELDS];
} Plan;

/* -- collecting; these return 1, 0 for "not me", or -1 with an exception */

static int
text(PyObject *object, Piece *piece)
{
    if (object == NULL || !PyUnicode_CheckExact(object))
        return 0;
    piece->at = PyUnicode_AsUTF8AndSize(object, &piece->size);
    if (piece->at == NULL) {
        PyErr_Clear();
        return 0;
    }
    return PyUnicode_GetLength(object) == piece->size; /* that is, ASCII */
}

static int
add(Plan *plan, const char *at, Py_ssize_t size)
{
    if (plan->count >= MOST_PIECES)
        return 0;
    plan->pieces[plan->count].at = at;
    plan->pieces[plan->count].size = size;
    plan->count++;
    plan->total += size;
    return 1;
}

#define ADD(plan, literal) add(plan, literal, sizeof(literal) - 1)

static int
add_text(Plan *plan, PyObject *object)
{
    Piece piece;
    return text(object, &piece) && add(plan, piece.at, piece.size);
}

/* Add a number that is not negative; once for each plan. */
static int
add_number(Plan *plan, long long number)
{
    char *end = plan->number + sizeof(plan->number), *at = end;
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0 && at > plan->number);
    return add(plan, at, end - at);
}

static int
add_length(Plan *plan, long long body)
{
    return ADD(plan, "Content-Length: ") && add_number(plan, body) && ADD(plan, "\r\n");
}

static int
equals(PyObject *object, const char *word)
{
    return object != NULL && PyUnicode_CheckExact(object) && PyUnicode_CompareWithASCIIString(object, word) == 0;
}

static int
read_bool(PyObject *object, int *value)
{
    *value = object == Py_True;
    return object == Py_True || object == Py_False;
}

static int
read_number(PyObject *object, long long *number)
{
    if (object == NULL || !PyLong_CheckExact(object))
        return 0;
    *number = PyLong_AsLongLong(object);
    if (*number == -1 && PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    return 1;
}

/* The value of a name in an index, borrowed; NULL in `value` if it is not there. */
static int
look_up(PyObject *index, PyObject *name, PyObject **value)
{
    *value = PyDict_GetItemWithError(index, name);
    return *value == NULL && PyErr_Occurred() ? -1 : 1;
}

static int
nothing_nominated(PyObject *nominated)
{
    return nominated != NULL && PyTuple_CheckExact(nominated) && PyTuple_Size(nominated) == 0;
}

/* The field lines whose names stay. */
static int
add_lines(Plan *plan, PyObject *fields, PyObject *stays)
{
    int list = PyList_CheckExact(fields);
    if (stays == NULL || !PyDict_Check(stays) || (!list && !PyTuple_CheckExact(fields)))
        return 0;
    Py_ssize_t count = list ? PyList_Size(fields) : PyTuple_Size(fields);
    if (count > MOST_FIELDS)
        return 0;
    plan->lines = 0;
    plan->before = plan->count;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *field = list ? PyList_GetItem(fields, i) : PyTuple_GetItem(fields, i);
        if (field == NULL || !PyTuple_CheckExact(field) || PyTuple_Size(field) != 2)
            return 0;
        PyObject *name = PyTuple_GetItem(field, 0);
        if (!PyUnicode_CheckExact(name))
            return 0;
        PyObject *answer = PyDict_GetItemWithError(stays, name);
        if (answer == NULL)
            return PyErr_Occurred() ? -1 : 0;
        if (answer != Py_True) {
            if (answer != Py_False)
                return 0;
            continue;
        }
        Piece *place = &plan->line[plan->lines].name, *value = &plan->line[plan->lines].value;
        if (!text(name, place) || !text(PyTuple_GetItem(field, 1), value))
            return 0;
        plan->total += place->size + value->size + 4;
        plan->lines++;
    }
    return 1;
}

/* -- writing */

static char *
copy(char *at, const Piece *pieces, int count)
{
    for (int i = 0; i < count; i++) {
        memcpy(at, pieces[i].at, (size_t)pieces[i].size);
        at += pieces[i].size;
    }
    return at;
}

static PyObject *
write_plan(const Plan *plan)
{
    PyObject *made = PyBytes_FromStringAndSize(NULL, plan->total);
    if (made == NULL)
        return NULL;
    char *at = copy(PyBytes_AsString(made), plan->pieces, plan->before);
    for (Py_ssize_t i = 0; i < plan->lines; i++) {
        at = copy(at, &plan->line[i].name, 1);
        memcpy(at, ": ", 2);
        at = copy(at + 2, &plan->line[i].value, 1);
        memcpy(at, "\r\n", 2);
        at += 2;
    }
    copy(at, plan->pieces + plan->before, plan->count - plan->before);
    return made;
}

/* -- the functions */

static int
plan_request(State *state, Plan *plan, PyObject *const *args, Py_ssize_t count)
{
    PyObject *head = args[0], *value;
    long long body;
    int upgrade = 0;
    if (!Py_IS_TYPE(head, (PyTypeObject *)state->request_type) || PyTuple_Size(head) != REQUEST_ITEMS
        || !equals(PyTuple_GetItem(head, REQUEST_VERSION), "1.1") || !read_number(args[4], &body)
        || (count == 6 && !read_bool(args[5], &upgrade)) || !nothing_nominated(PyTuple_GetItem(head, REQUEST_NOMINATED)))
        return 0;
    PyObject *method = PyTuple_GetItem(head, METHOD), *index = PyTuple_GetItem(head, REQUEST_INDEX);
    if (!PyDict_CheckExact(index))
        return 0;
    if (!add_text(plan, method) || !ADD(plan, " ") || !add_text(plan, args[1])
        || !ADD(plan, " HTTP/1.1\r\nHost: ") || !add_text(plan, args[2]) || !ADD(plan, "\r\n"))
        return 0;
    int fine = add_lines(plan, PyTuple_GetItem(head, REQUEST_FIELDS), state->bound[REQUEST_STAYS]);
    if (fine <= 0)
        return fine;
    if (body > 0) {
        fine = add_length(plan, body);
    } else if (body == CHUNKED) {
        fine = ADD(plan, "Transfer-Encoding: chunked\r\n");
    } else {
        if (look_up(index, state->content_length, &value) < 0)
            return -1;
        if (value != NULL || equals(method, "POST") || equals(method, "PUT") || equals(method, "PATCH"))
            fine = ADD(plan, "Content-Length: 0\r\n");
    }
    if (upgrade) {
        if (look_up(index, state->upgrade, &value) < 0)
            return -1;
        if (value == NULL || PyUnicode_FindChar(value, ',', 0, PyUnicode_GetLength(value), 1) != -1)
            return 0; /* which of them is the twin's */
        fine = fine && ADD(plan, "Connection: Upgrade\r\nUpgrade: ") && add_text(plan, value) && ADD(plan, "\r\n");
    } else {
        if (look_up(index, state->te, &value) < 0)
            return -1;
        fine = fine && value == NULL; /* what TE says is the twin's */
    }
    return fine && add_text(plan, args[3]) && ADD(plan, "\r\n");
}

/* Bring the text of the date up to date; Python makes it. */
static int
refresh_date(State *state)
{
    time_t now = time(NULL);
    if (now == state->second && state->date_text != NULL)
        return 1;
    if (state->bound[DATE_NOW] == NULL)
        return 0;
    PyObject *made = PyObject_CallNoArgs(state->bound[DATE_NOW]);
    if (made == NULL)
        return -1;
    PyObject *old = state->date_text;
    state->date_text = made;
    state->second = now;
    Py_XDECREF(old);
    return 1;
}

static int
plan_response(State *state, Plan *plan, PyObject *const *args, Py_ssize_t count)
{
    PyObject *head = args[0], *date, *value;
    long long body, head_body, status;
    int close, upgrade = 0, fine;
    if (!Py_IS_TYPE(head, (PyTypeObject *)state->response_type) || PyTuple_Size(head) != RESPONSE_ITEMS
        || !read_number(PyTuple_GetItem(head, STATUS), &status) || status < 100 || status > 999 || status == 426
        || !read_number(PyTuple_GetItem(head, BODY), &head_body) || !read_number(args[2], &body)
        || !PyUnicode_CheckExact(args[1]) || !read_bool(args[3], &close)
        || (count == 5 && !read_bool(args[4], &upgrade)) || !nothing_nominated(PyTuple_GetItem(head, NOMINATED)))
        return 0;
    PyObject *index = PyTuple_GetItem(head, INDEX);
    if (!PyDict_CheckExact(index))
        return 0;
    if (look_up(index, state->date, &date) < 0)
        return -1;
    if (date == NULL && status >= 200 && (fine = refresh_date(state)) <= 0)
        return fine;
    const char code[3] = {(char)('0' + status / 100), (char)('0' + status / 10 % 10), (char)('0' + status % 10)};
    memcpy(plan->number, code, 3); /* at the other end of the place for the length */
    if (!ADD(plan, "HTTP/1.1 ") || !add(plan, plan->number, 3) || !ADD(plan, " ")
        || !add_text(plan, PyTuple_GetItem(head, REASON)) || !ADD(plan, "\r\n"))
        return 0;
    fine = add_lines(plan, PyTuple_GetItem(head, FIELDS), state->bound[RESPONSE_STAYS]);
    if (fine <= 0)
        return fine;
    if (body > 0) {
        fine = add_length(plan, body);
    } else if (body == CHUNKED) {
        fine = ADD(plan, "Transfer-Encoding: chunked\r\n");
    } else if (body == UNTIL_CLOSE) {
        close = 1;
    } else if (status >= 200 && status != 204) {
        if (head_body != 0) {
            fine = ADD(plan, "Content-Length: 0\r\n");
        } else {
            if (look_up(index, state->content_length, &value) < 0)
                return -1;
            if (value != NULL)
                fine = ADD(plan, "Content-Length: ") && add_text(plan, value) && ADD(plan, "\r\n");
        }
    }
    if (status >= 200) {
        if (close)
            fine = fine && ADD(plan, "Connection: close\r\n");
        else if (equals(args[1], "1.0"))
            fine = fine && ADD(plan, "Connection: keep-alive\r\n");
        if (date == NULL)
            fine = fine && ADD(plan, "Date: ") && add_text(plan, state->date_text) && ADD(plan, "\r\n");
    }
    if (upgrade) {
        if (look_up(index, state->upgrade, &value) < 0)
            return -1;
        fine = fine && ADD(plan, "Connection: Upgrade\r\nUpgrade: ") && add_text(plan, value) && ADD(plan, "\r\n");
    }
    return fine && ADD(plan, "\r\n");
}

static PyObject *
request_bytes(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *keywords)
{
    State *state = PyModule_GetState(module);
    Plan plan;
    int fine = 0;
    plan.total = 0;
    plan.count = 0;
    if (keywords == NULL && (count == 5 || count == 6))
        fine = plan_request(state, &plan, args, count);
    if (fine < 0)
        return NULL;
    return fine ? write_plan(&plan) : twin_call(state->bound[TWIN_REQUEST], args, count, keywords);
}

static PyObject *
response_bytes(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *keywords)
{
    State *state = PyModule_GetState(module);
    Plan plan;
    int fine = 0;
    plan.total = 0;
    plan.count = 0;
    if (keywords == NULL && (count == 4 || count == 5))
        fine = plan_response(state, &plan, args, count);
    if (fine < 0)
        return NULL;
    return fine ? write_plan(&plan) : twin_call(state->bound[TWIN_RESPONSE], args, count, keywords);
}

/* -- the module */

static int
start(PyObject *module)
{
    State *state = PyModule_GetState(module);
    KEEP(state->request_type, head_type("RequestHead", REQUEST_ITEMS));
    KEEP(state->response_type, head_type("ResponseHead", RESPONSE_ITEMS));
    KEEP(state->content_length, PyUnicode_InternFromString("content-length"));
    KEEP(state->te, PyUnicode_InternFromString("te"));
    KEEP(state->upgrade, PyUnicode_InternFromString("upgrade"));
    KEEP(state->date, PyUnicode_InternFromString("date"));
    return 0;
}

TWIN_MODULE(forwarding, "C twins of gateway.http.forwarding.", offsetof(State, second), NOTHING_MORE,
            FUNCTION(request_bytes, "request_bytes(head, target, host, added, body, upgrade=False)\n\n"
                                    "See gateway.http.forwarding.")
            FUNCTION(response_bytes, "response_bytes(head, version, body, close, upgrade=False)\n\n"
                                     "See gateway.http.forwarding."))
