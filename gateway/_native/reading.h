/* Reads a whole head that is regular, in one pass and without Python: spans of the bytes that were given, or "not me".

   Every loop is bounded by `end`, and every byte is looked at a fixed number of times. */

#ifndef GATEWAY_READING_H
#define GATEWAY_READING_H

#include "spans.h"

#include <string.h>

#define LONGEST_NAME 256 /* of a field */
#define CHUNKED (-1)
#define UNTIL_CLOSE (-2)
#define LONGEST_HOST 255

static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", NULL};
enum { METHODS = 7 };

static uint8_t token[256]; /* of a token: the character in lower case, else 0 (RFC 9110 §5.6.2) */

static void
fill_table(void)
{
    for (const char *mark = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"; *mark; mark++)
        token[(uint8_t)*mark] = (uint8_t)*mark;
    for (int letter = 'A'; letter <= 'Z'; letter++)
        token[letter] = (uint8_t)(letter + 'a' - 'A');
}

/* Whether a span is `text`, which is in lower case, in any case. */
static int
is(Span span, const char *text, ptrdiff_t size)
{
    if (span.size != size)
        return 0;
    for (ptrdiff_t i = 0; i < size; i++)
        if (token[span.at[i]] != (uint8_t)text[i])
            return 0;
    return 1;
}

#define IS(span, text) is(span, text, sizeof(text) - 1)

static Kind
kind_of(Span name)
{
    switch (name.size) {
    case 4:
        return IS(name, "host") ? HOST : OTHER;
    case 6:
        return IS(name, "expect") ? EXPECT : OTHER;
    case 7:
        return IS(name, "upgrade") ? UPGRADE : OTHER;
    case 10:
        return IS(name, "connection") ? CONNECTION : OTHER;
    case 14:
        return IS(name, "content-length") ? LENGTH : OTHER;
    case 17:
        return IS(name, "transfer-encoding") ? CODING : OTHER;
    default:
        return OTHER;
    }
}

/* Whether all bytes may be in a field value. Without a branch in the loop, so that the compiler can vectorise it. */
static int
is_text(const uint8_t *at, ptrdiff_t size)
{
    uint8_t bad = 0;
    for (ptrdiff_t i = 0; i < size; i++) {
        uint8_t byte = at[i];
        bad |= (uint8_t)((byte < 0x20) & (byte != '\t')) | (uint8_t)(byte == 0x7f);
    }
    return !bad;
}

/* The field lines from `at` to the empty line that ends at `end`; the head is known to end with CRLF CRLF. */
static int
read_fields(Head *head, const uint8_t *at, const uint8_t *end, ptrdiff_t most)
{
    head->count = 0;
    head->close = head->upgrade = 0;
    for (int kind = 0; kind < KINDS; kind++)
        head->which[kind] = -1;
    while (end - at > 2) {
        if (head->count >= most || head->count >= MOST_FIELDS)
            return 0;
        Field *field = &head->fields[head->count];
        uint32_t hash = 2166136261u;
        field->name.at = at;
        while (at < end && token[*at]) {
            hash = (hash ^ *at) * 16777619u;
            at++;
        }
        field->name.size = at - field->name.at;
        field->hash = hash;
        if (field->name.size == 0 || field->name.size > LONGEST_NAME || at >= end || *at != ':')
            return 0;
        at++;
        while (at < end && (*at == ' ' || *at == '\t'))
            at++;
        const uint8_t *stop = memchr(at, '\r', (size_t)(end - at));
        if (stop == NULL || end - stop < 2 || stop[1] != '\n' || !is_text(at, stop - at))
            return 0;
        const uint8_t *last = stop;
        while (last > at && (last[-1] == ' ' || last[-1] == '\t'))
            last--;
        field->value.at = at;
        field->value.size = last - at;
        at = stop + 2;
        Kind kind = kind_of(field->name);
        if (kind != OTHER) {
            if (head->which[kind] >= 0)
                return 0;
            head->which[kind] = (int)head->count;
        }
        head->count++;
    }
    return end - at == 2;
}

/* What Connection and Upgrade say, where they say only what is usual. */
static int
read_connection(Head *head)
{
    if (head->which[CONNECTION] < 0)
        return 1;
    Span value = head->fields[head->which[CONNECTION]].value;
    const uint8_t *at = value.at, *end = at + value.size;
    while (at < end) {
        while (at < end && (*at == ' ' || *at == '\t' || *at == ','))
            at++;
        Span item = {at, 0};
        while (at < end && token[*at])
            at++;
        item.size = at - item.at;
        while (at < end && (*at == ' ' || *at == '\t'))
            at++;
        if (at < end && *at != ',')
            return 0;
        if (item.size == 0 || IS(item, "keep-alive"))
            continue;
        if (IS(item, "close"))
            head->close = 1;
        else if (IS(item, "upgrade"))
            head->upgrade = 1;
        else
            return 0;
    }
    if (head->upgrade && head->which[UPGRADE] >= 0)
        return IS(head->fields[head->which[UPGRADE]].value, "websocket");
    head->upgrade = 0;
    return 1;
}

/* The length of the body, CHUNKED or `otherwise`. */
static int
read_body(const Head *head, long long otherwise, long long *body)
{
    *body = otherwise;
    if (head->which[CODING] >= 0) {
        if (head->which[LENGTH] >= 0 || !IS(head->fields[head->which[CODING]].value, "chunked"))
            return 0;
        *body = CHUNKED;
    } else if (head->which[LENGTH] >= 0) {
        Span value = head->fields[head->which[LENGTH]].value;
        if (value.size < 1 || value.size > 18 || (value.at[0] == '0' && value.size != 1))
            return 0;
        *body = 0;
        for (ptrdiff_t i = 0; i < value.size; i++) {
            if (value.at[i] < '0' || value.at[i] > '9')
                return 0;
            *body = *body * 10 + (value.at[i] - '0');
        }
    }
    return 1;
}

/* Whether this is a name or an IPv4 address, with or without a port; IPv6 addresses are the twin's. */
static int
is_host(Span host)
{
    ptrdiff_t size = 0;
    while (size < host.size) {
        uint8_t byte = host.at[size];
        uint8_t lower = token[byte];
        if (!((lower >= 'a' && lower <= 'z') || (byte >= '0' && byte <= '9') || byte == '.' || byte == '-'
              || byte == '_' || byte == '~'))
            break;
        size++;
    }
    if (size < 1 || size > LONGEST_HOST)
        return 0;
    if (size == host.size)
        return 1;
    ptrdiff_t digits = host.size - size - 1;
    if (host.at[size] != ':' || digits < 1 || digits > 5)
        return 0;
    long port = 0;
    for (ptrdiff_t i = size + 1; i < host.size; i++) {
        if (host.at[i] < '0' || host.at[i] > '9')
            return 0;
        port = port * 10 + (host.at[i] - '0');
    }
    return port <= 65535;
}

static int
ends_well(const uint8_t *data, ptrdiff_t size)
{
    return size >= 4 && memcmp(data + size - 4, "\r\n\r\n", 4) == 0;
}

/* A whole request head: -1 if it is not for us, else the number of the method. */
static int
read_request(Head *head, Span *target, long long *body, const uint8_t *data, ptrdiff_t size, Limits limits)
{
    if (size > limits.head || !ends_well(data, size))
        return -1;
    const uint8_t *end = data + size, *at = data;
    while (at < end && *at >= 'A' && *at <= 'Z')
        at++;
    size_t length = (size_t)(at - data);
    int method = 0;
    while (methods[method] != NULL && (strlen(methods[method]) != length || memcmp(methods[method], data, length)))
        method++;
    if (methods[method] == NULL || end - at < 2 || at[0] != ' ' || at[1] != '/')
        return -1;
    at++;
    target->at = at;
    while (at < end && *at > 0x20 && *at < 0x7f && *at != '#')
        at++;
    target->size = at - target->at;
    if (target->size > limits.target || end - at < 11 || memcmp(at, " HTTP/1.1\r\n", 11) != 0)
        return -1;
    if (!read_fields(head, at + 11, end, limits.fields))
        return -1;
    if (head->which[HOST] < 0 || !is_host(head->fields[head->which[HOST]].value))
        return -1;
    if (head->which[EXPECT] >= 0 && !IS(head->fields[head->which[EXPECT]].value, "100-continue"))
        return -1;
    if (!read_connection(head) || !read_body(head, 0, body))
        return -1;
    return method;
}

/* A whole response head: -1 if it is not for us, else the status. */
static int
read_response(Head *head, Span *reason, long long *body, const uint8_t *data, ptrdiff_t size, Limits limits)
{
    if (size > limits.head || size < 16 || !ends_well(data, size) || memcmp(data, "HTTP/1.1 ", 9) != 0)
        return -1;
    if (data[9] < '1' || data[9] > '5' || data[10] < '0' || data[10] > '9' || data[11] < '0' || data[11] > '9')
        return -1;
    const uint8_t *end = data + size, *at = data + 12;
    const uint8_t *stop = memchr(at, '\r', (size_t)(end - at));
    if (stop == NULL || end - stop < 4 || stop[1] != '\n')
        return -1;
    if (stop != at) {
        if (*at != ' ')
            return -1;
        at++;
    }
    reason->at = at;
    reason->size = stop - at;
    if (!is_text(at, stop - at) || !read_fields(head, stop + 2, end, limits.fields))
        return -1;
    if (!read_connection(head) || !read_body(head, UNTIL_CLOSE, body))
        return -1;
    return (data[9] - '0') * 100 + (data[10] - '0') * 10 + (data[11] - '0');
}

#endif
