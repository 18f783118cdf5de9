/* Echo: every client sends a message, and the next one when its answer has come. */
#include "load.h"

static void on_answer(struct run *r, struct connection *c, size_t size, uint64_t now) {
    if (size != (size_t)r->options.size)
        fail("connection %d: sent %d bytes, %zu came back", c->index, r->options.size, size);
    if (r->measuring) {
        histogram_add(&r->latency, now - c->sent_at);
        r->messages++;
    }
    c->sent_at = now_ns();
    send_all(c, r->frame, r->frame_size);
}

static void go_on_until(struct run *r, uint64_t until) {
    while (now_ns() < until) wait_events(r, 50);
}

void run_echo(struct run *r) {
    r->on_message = on_answer;
    for (int i = 0; i < r->options.connections; i++) {
        r->connections[i].sent_at = now_ns();
        send_all(&r->connections[i], r->frame, r->frame_size);
    }
    go_on_until(r, now_ns() + (uint64_t)(r->options.warmup * 1e9));
    start_measuring(r);
    go_on_until(r, now_ns() + (uint64_t)(r->options.seconds * 1e9));
    stop_measuring(r);
}
