/* What reading a head gives: spans of the bytes that were given. Needs no Python. */

#ifndef GATEWAY_SPANS_H
#define GATEWAY_SPANS_H

#include <stddef.h>
#include <stdint.h>

/* The most field lines that are read. */
#define MOST_FIELDS 128

typedef enum { OTHER, HOST, CONNECTION, LENGTH, CODING, EXPECT, UPGRADE, KINDS } Kind;

typedef struct {
    const uint8_t *at;
    ptrdiff_t size;
} Span;

typedef struct {
    Span name, value;
    uint32_t hash; /* of the name as spelled */
} Field;

typedef struct {
    ptrdiff_t count;
    int which[KINDS]; /* number of the field of that kind, -1 for none */
    Field fields[MOST_FIELDS];
    /* what Connection and Upgrade say */
    int close, upgrade;
} Head;

typedef struct {
    ptrdiff_t head, fields, target;
} Limits;

#endif
