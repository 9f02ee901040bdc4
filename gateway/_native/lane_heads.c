/* The heads that a lane sends. What is regular is written here as the functions of gateway/http/forwarding.py would.

   No policy: which field lines are passed on is asked of Python's memos of names (see `stays`), and so is the date. */

#include "lane.h"

#include <time.h>

static PyObject *request_stays, *response_stays, *date_now; /* gateway.http.forwarding */
static PyObject *accept_for;                                /* gateway.websocket.handshake */

Out out;

void
lane_bind(PyObject *const *lent)
{
    request_stays = lent[0];
    response_stays = lent[1];
    date_now = lent[2];
    accept_for = lent[3];
}

int
heads_are_bound(void)
{
    return request_stays != NULL && response_stays != NULL && date_now != NULL && accept_for != NULL;
}

void
put(const void *at, size_t size)
{
    if (size > sizeof(out.bytes) - out.size) {
        out.full = 1;
        return;
    }
    memcpy(out.bytes + out.size, at, size);
    out.size += size;
}

static void
put_number(long long number)
{
    char digits[24], *end = digits + sizeof(digits), *at = end;
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    put(at, (size_t)(end - at));
}

static void
put_length(long long length)
{
    PUT("Content-Length: ");
    put_number(length);
    PUT("\r\n");
}

void
write_trace_id(const Lane *self, char id[TRACE_ID])
{
    memcpy(id, self->prefix, PREFIX);
    for (int i = PREFIX; i < TRACE_ID; i++)
        id[i] = "0123456789abcdef"[self->number >> 4 * (TRACE_ID - 1 - i) & 15];
}

/* Whether a field line is passed on; the answers of Python's memos are remembered for names of usual length. */

#define NAMES 512
#define USUAL_NAME 40

typedef struct {
    uint8_t size, stays[2], known[2];
    char spelled[USUAL_NAME];
} Name;

static int
ask_memo(PyObject *memo, Span name)
{
    PyObject *text = PyUnicode_DecodeLatin1((const char *)name.at, name.size, NULL);
    PyObject *answer = text == NULL ? NULL : PyObject_GetItem(memo, text);
    Py_XDECREF(text);
    if (answer == NULL)
        return -1;
    const int stays = PyObject_IsTrue(answer);
    Py_DECREF(answer);
    return stays;
}

static int
stays(const Field *field, int response)
{
    static Name names[NAMES];
    PyObject *memo = response ? response_stays : request_stays;
    if (field->name.size > USUAL_NAME)
        return ask_memo(memo, field->name);
    Name *place = &names[(field->hash ^ (field->hash >> 15)) % NAMES];
    if (place->size != field->name.size || memcmp(place->spelled, field->name.at, place->size) != 0) {
        place->size = (uint8_t)field->name.size;
        memcpy(place->spelled, field->name.at, place->size);
        place->known[0] = place->known[1] = 0;
    }
    if (!place->known[response]) {
        const int answer = ask_memo(memo, field->name);
        if (answer < 0)
            return -1;
        place->stays[response] = (uint8_t)answer;
        place->known[response] = 1;
    }
    return place->stays[response];
}

static int
put_fields(const Head *head, int response)
{
    for (Py_ssize_t i = 0; i < head->count; i++) {
        const Field *field = &head->fields[i];
        const int answer = stays(field, response);
        if (answer < 0)
            return -1;
        if (answer) {
            PUT_SPAN(field->name);
            PUT(": ");
            PUT_SPAN(field->value);
            PUT("\r\n");
        }
    }
    return 0;
}

static int
put_date(void)
{
    static time_t second;
    static PyObject *text;
    const time_t now = time(NULL);
    if (now != second || text == NULL) {
        PyObject *made = PyObject_CallNoArgs(date_now);
        if (made == NULL)
            return -1;
        PyObject *old = text;
        text = made;
        second = now;
        Py_XDECREF(old);
    }
    Py_ssize_t size;
    const char *at = PyUnicode_AsUTF8AndSize(text, &size);
    if (at == NULL)
        return -1;
    PUT("Date: ");
    put(at, (size_t)size);
    PUT("\r\n");
    return 0;
}

static void
put_upgrade(const Head *head)
{
    PUT("Connection: Upgrade\r\nUpgrade: ");
    PUT_SPAN(head->fields[head->which[UPGRADE]].value);
    PUT("\r\n");
}

int
is_accepted(const Lane *self, Span accept)
{
    PyObject *key = PyUnicode_DecodeLatin1(self->key, KEY, NULL);
    PyObject *wanted = key == NULL ? NULL : PyObject_CallFunctionObjArgs(accept_for, key, NULL);
    Py_ssize_t size;
    const char *at = wanted == NULL ? NULL : PyUnicode_AsUTF8AndSize(wanted, &size);
    const int fits = at == NULL ? -1 : size == accept.size && memcmp(at, accept.at, (size_t)size) == 0;
    Py_XDECREF(key);
    Py_XDECREF(wanted);
    return fits;
}

int
put_request(const Lane *self, const Head *head, const char *method, Span target)
{
    const Span host = head->fields[head->which[HOST]].value;
    char id[TRACE_ID];
    write_trace_id(self, id);
    out.size = 0;
    out.full = 0;
    put(method, strlen(method));
    PUT(" ");
    PUT_SPAN(target);
    PUT(" HTTP/1.1\r\nHost: ");
    PUT_SPAN(host);
    PUT("\r\n");
    if (put_fields(head, 0) < 0)
        return -1;
    if (self->body.size)
        put_length(self->body.size);
    if (self->opening)
        put_upgrade(head);
    put(PyBytes_AsString(self->known), (size_t)PyBytes_Size(self->known));
    PUT("X-Original-Host: ");
    PUT_SPAN(host);
    PUT("\r\nX-Original-URL: ");
    PUT_SPAN(target);
    PUT("\r\nX-AppGW-Trace-Id: ");
    put(id, TRACE_ID);
    PUT("\r\n\r\n");
    return !out.full;
}

int
put_response(const Lane *self, const Head *head, int status, Span reason, long long length, int dated)
{
    out.size = 0;
    out.full = 0;
    PUT("HTTP/1.1 ");
    put_number(status);
    PUT(" ");
    PUT_SPAN(reason);
    PUT("\r\n");
    if (put_fields(head, 1) < 0)
        return -1;
    if (length >= 0)
        put_length(length);
    if (self->closing)
        PUT("Connection: close\r\n");
    if (status == 101)
        put_upgrade(head);
    else if (!dated && put_date() < 0)
        return -1;
    PUT("\r\n");
    return !out.full;
}
