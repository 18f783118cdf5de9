/* Broadcast: one socket triggers, all members must get every message of the round.
 *
 * A round ends with its last delivery, and only then the next one starts. The
 * rate is deliveries divided by the time inside rounds. */
#include "load.h"

#include <inttypes.h>

static void on_delivery(struct run *r, struct connection *c, size_t size, uint64_t now) {
    if (size != (size_t)r->options.size)
        fail("member %d: expected %d bytes, %zu came", c->index, r->options.size, size);
    if (r->pending == 0) fail("member %d: a message more than was sent", c->index);
    r->pending--;
    if (r->measuring) histogram_add(&r->latency, now - r->round_started);
}

static void run_round(struct run *r) {
    uint64_t expected = (uint64_t)r->options.connections * (uint64_t)r->options.burst;
    uint64_t until;
    r->pending = expected;
    r->round_started = now_ns();
    until = r->round_started + (uint64_t)(r->options.deadline * 1e9);
    send_all(&r->trigger, r->frame, r->frame_size);
    while (r->pending != 0) {
        wait_events(r, 100);
        if (now_ns() > until)
            fail("%" PRIu64 " of %" PRIu64 " deliveries did not come in %.0f s", r->pending,
                 expected, r->options.deadline);
    }
    if (r->measuring) r->messages += expected;
}

static void rounds_for(struct run *r, double seconds) {
    uint64_t until = now_ns() + (uint64_t)(seconds * 1e9);
    do run_round(r);
    while (now_ns() < until);
}

void run_broadcast(struct run *r) {
    r->on_message = on_delivery;
    r->trigger.index = -1;
    open_connections(r, &r->trigger, 1, r->options.trigger);
    rounds_for(r, r->options.warmup);
    start_measuring(r);
    rounds_for(r, r->options.seconds);
    stop_measuring(r);
}
