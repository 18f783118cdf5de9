/* RFC 6455 as a client needs it here: masked frames out, whole unmasked frames in. */
#include "load.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define TEXT 1u
#define BINARY 2u
#define CLOSE 8u
#define PING 9u
#define PONG 10u

/* A mask of zeros would let a server skip the work that real clients cause. */
static const unsigned char MASK[4] = {0x37, 0xfa, 0x21, 0x3d};

size_t build_frame(unsigned char *out, unsigned opcode, const char *payload, size_t size) {
    size_t at = 0;
    out[at++] = (unsigned char)(0x80u | opcode);
    if (size < 126) {
        out[at++] = (unsigned char)(0x80u | size);
    } else {
        out[at++] = 0x80u | 126u;
        out[at++] = (unsigned char)(size >> 8);
        out[at++] = (unsigned char)size;
    }
    memcpy(out + at, MASK, 4);
    at += 4;
    for (size_t i = 0; i < size; i++) out[at + i] = (unsigned char)payload[i] ^ MASK[i % 4];
    return at + size;
}

/* Messages are small and answered before the next: a full socket buffer means that the
 * server has stopped reading, and waiting for it would only hide that. */
void send_all(struct connection *c, const unsigned char *data, size_t size) {
    ssize_t sent = send(c->fd, data, size, MSG_NOSIGNAL);
    if (sent != (ssize_t)size)
        fail("connection %d: the server does not take input (%s)", c->index,
             sent < 0 ? strerror(errno) : "socket buffer full");
}

static void answer_ping(struct connection *c, const unsigned char *payload, size_t size) {
    unsigned char frame[140];
    if (size > 125) fail("connection %d: a ping of %zu bytes (at most 125)", c->index, size);
    send_all(c, frame, build_frame(frame, PONG, (const char *)payload, size));
}

static void fail_closed(const struct connection *c, const unsigned char *payload, size_t size) {
    unsigned code = size >= 2 ? (unsigned)payload[0] << 8 | payload[1] : 1005;
    fail("connection %d: the server closed it with code %u", c->index, code);
}

static void take_frame(struct run *r, struct connection *c, unsigned first,
                       const unsigned char *payload, size_t size, uint64_t now) {
    unsigned opcode = first & 0x0fu;
    if (!(first & 0x80u)) fail("connection %d: a fragmented message", c->index);
    if (opcode == TEXT || opcode == BINARY) r->on_message(r, c, size, now);
    else if (opcode == PING) answer_ping(c, payload, size);
    else if (opcode == CLOSE) fail_closed(c, payload, size);
    else if (opcode != PONG) fail("connection %d: opcode %u", c->index, opcode);
}

/* The size of the frame at `data`, or 0 while its head or payload is incomplete. */
static size_t whole_frame(const struct connection *c, const unsigned char *data, size_t have,
                          size_t *head) {
    if (have < 2) return 0;
    size_t size = data[1];
    *head = 2;
    if (size > 126) fail("connection %d: a masked or huge frame came", c->index);
    if (size == 126) {
        if (have < 4) return 0;
        size = (size_t)data[2] << 8 | data[3];
        *head = 4;
    }
    if (*head + size > BUFFER_SIZE) fail("connection %d: a frame of %zu bytes", c->index, size);
    return have < *head + size ? 0 : *head + size;
}

static void take_frames(struct run *r, struct connection *c, uint64_t now) {
    size_t at = 0, head = 0, size;
    while ((size = whole_frame(c, c->buffer + at, c->filled - at, &head)) != 0) {
        take_frame(r, c, c->buffer[at], c->buffer + at + head, size - head, now);
        at += size;
    }
    c->filled -= at;
    if (at != 0 && c->filled != 0) memmove(c->buffer, c->buffer + at, c->filled);
}

void read_messages(struct run *r, struct connection *c) {
    ssize_t got = recv(c->fd, c->buffer + c->filled, BUFFER_SIZE - c->filled, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0)
        fail("connection %d: the server hung up (%s)", c->index,
             got == 0 ? "end of stream" : strerror(errno));
    c->filled += (size_t)got;
    if (c->state == SHAKING) advance_handshake(r, c);
    if (c->state == OPEN) take_frames(r, c, now_ns());
}
