/* WebSocket frames, as the generators send them. */

#include <stddef.h>

/* The head of a binary frame, without the masking key; returns how long it is. */
static size_t frame_head(unsigned char *out, size_t length, int masked)
{
    size_t n = 2;
    out[0] = 0x82;
    if (length < 126) {
        out[1] = length;
    } else {
        int digits = length < 65536 ? 2 : 8;
        out[1] = digits == 2 ? 126 : 127;
        for (int i = digits - 1; i >= 0; i--)
            out[n++] = length >> (8 * i);
    }
    out[1] |= masked << 7;
    return n;
}
