/* Opening many WebSockets, a window at a time, and waiting for events. */
#define _GNU_SOURCE /* memmem */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* Handshakes at once: enough to keep a server busy, fewer than any listen backlog. */
#define WINDOW 64
#define EVENTS 1024

void raise_descriptor_limit(int wanted) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < (rlim_t)wanted + 16)
        fail("%d connections need %d open files, but the limit (ulimit -Hn) is %llu", wanted,
             wanted + 16, (unsigned long long)limit.rlim_cur);
}

static void watch(struct run *r, struct connection *c, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(r->epoll, operation, c->fd, &event) != 0)
        fail("connection %d: epoll: %s", c->index, strerror(errno));
}

static void start_connection(struct run *r, struct connection *c, int index, const char *path) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)r->options.port)};
    int one = 1;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->index = index;
    c->path = path;
    c->buffer = malloc(BUFFER_SIZE);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0 || c->buffer == NULL) fail("connection %d: %s", index, strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)
        fail("connection %d to port %d: %s", index, r->options.port, strerror(errno));
    watch(r, c, EPOLL_CTL_ADD, EPOLLOUT);
}

/* The key is constant and the accept value unchecked: servers are tested for that elsewhere,
 * and checking it would need SHA-1 here. */
static void send_request(struct run *r, struct connection *c) {
    char request[512];
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) fail("connection %d to port %d: %s", c->index, r->options.port, strerror(error));
    int size = snprintf(request, sizeof request,
                        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                        "Sec-WebSocket-Version: 13\r\n\r\n",
                        c->path, r->options.port);
    send_all(c, (const unsigned char *)request, (size_t)size);
    c->state = SHAKING;
    watch(r, c, EPOLL_CTL_MOD, EPOLLIN);
}

void advance_handshake(struct run *r, struct connection *c) {
    unsigned char *end = memmem(c->buffer, c->filled, "\r\n\r\n", 4);
    if (end == NULL) return;
    if (memcmp(c->buffer, "HTTP/1.1 101", 12) != 0)
        fail("connection %d: GET %s was answered %.12s, expected 101", c->index, c->path,
             (const char *)c->buffer);
    size_t head = (size_t)(end + 4 - c->buffer);
    c->filled -= head;
    memmove(c->buffer, c->buffer + head, c->filled);
    c->state = OPEN;
    r->open_count++;
}

static void take_event(struct run *r, struct connection *c) {
    if (c->state == CONNECTING) send_request(r, c);
    else read_messages(r, c);
}

/* A sleeping generator must be woken, and the kernel bills that to the server's write: on a
 * virtual machine it can cost as much as the write itself, and it falls only on servers too
 * slow to keep the generator awake. Real clients are other machines; so, spinning, it never sleeps. */
void wait_events(struct run *r, int timeout_ms) {
    struct epoll_event events[EVENTS];
    uint64_t from = now_ns();
    int count = epoll_wait(r->epoll, events, EVENTS, r->options.spin ? 0 : timeout_ms);
    for (int i = 0; i < count; i++) take_event(r, events[i].data.ptr);
    if (count > 0) r->at_work += now_ns() - from;
}

void open_connections(struct run *r, struct connection *list, int count, const char *path) {
    uint64_t until = now_ns() + (uint64_t)(r->options.deadline * 1e9);
    int started = 0, before = r->open_count;
    while (r->open_count - before < count) {
        while (started < count && started - (r->open_count - before) < WINDOW) {
            start_connection(r, &list[started], started, path);
            started++;
        }
        wait_events(r, 100);
        if (now_ns() > until)
            fail("only %d of %d handshakes on %s were done in %.0f s", r->open_count - before,
                 count, path, r->options.deadline);
    }
}
