/* load echo|broadcast --port P --path /p [options]: prints one JSON object.
 *
 * Exit status 1 and one plain sentence on standard error when the server did
 * anything but deliver what was asked for. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

static double number(const char *name, const char *text, double least, double most) {
    char *end;
    double value = strtod(text, &end);
    if (*end != '\0' || value < least || value > most)
        fail("%s %s: expected a number from %g to %g", name, text, least, most);
    return value;
}

static void set_option(struct options *o, const char *name, const char *value) {
    if (!strcmp(name, "--port")) o->port = (int)number(name, value, 1, 65535);
    else if (!strcmp(name, "--connections"))
        o->connections = (int)number(name, value, 1, MAX_CONNECTIONS);
    else if (!strcmp(name, "--seconds")) o->seconds = number(name, value, 0.01, MAX_SECONDS);
    else if (!strcmp(name, "--warmup")) o->warmup = number(name, value, 0, MAX_SECONDS);
    else if (!strcmp(name, "--deadline")) o->deadline = number(name, value, 0.1, MAX_SECONDS);
    else if (!strcmp(name, "--size")) o->size = (int)number(name, value, 1, MAX_SIZE);
    else if (!strcmp(name, "--burst")) o->burst = (int)number(name, value, 1, MAX_BURST);
    else if (!strcmp(name, "--path")) o->path = value;
    else if (!strcmp(name, "--trigger")) o->trigger = value;
    else if (!strcmp(name, "--spin")) o->spin = (int)number(name, value, 0, 1);
    else if (!strcmp(name, "--watch")) o->watch = value;
    else fail("%s: no such option", name);
}

static struct options read_options(int count, char **arguments) {
    struct options o = {.connections = 50, .seconds = 2, .warmup = 0.3, .deadline = 30,
                        .size = 100, .burst = 1, .path = "/", .trigger = NULL, .watch = NULL};
    if (count < 2 || count % 2 != 0) fail("usage: load echo|broadcast --port P [--option value]");
    o.mode = arguments[1];
    for (int i = 2; i < count; i += 2) set_option(&o, arguments[i], arguments[i + 1]);
    if (o.port == 0) fail("--port is needed");
    return o;
}

static void fill_frame(struct run *r, const char *text) {
    char payload[MAX_SIZE];
    size_t size = text != NULL ? strlen(text) : (size_t)r->options.size;
    memset(payload, 'x', sizeof payload);
    if (text != NULL) memcpy(payload, text, size);
    r->frame_size = build_frame(r->frame, 1, payload, size);
}

static void ignore(struct run *r, struct connection *c, size_t size, uint64_t now) {
    (void)r, (void)size, (void)now;
    fail("connection %d: a message came before one was asked for", c->index);
}

static struct run *prepare(struct options options) {
    struct run *r = calloc(1, sizeof *r);
    r->options = options;
    r->on_message = ignore;
    r->epoll = epoll_create1(0);
    r->connections = calloc((size_t)options.connections, sizeof *r->connections);
    raise_descriptor_limit(options.connections);
    list_watched(r);
    return r;
}

static void print_report(struct run *r, double connected) {
    double seconds = (double)r->elapsed / 1e9;
    printf("{\"mode\": \"%s\", \"connections\": %d, \"size\": %d, \"burst\": %d, "
           "\"connect_seconds\": %.3f, \"seconds\": %.3f, \"messages\": %llu, \"rate\": %.1f, "
           "\"p50_ms\": %.3f, \"p99_ms\": %.3f, \"load_share\": %.3f, \"watched\": [",
           r->options.mode, r->options.connections, r->options.size, r->options.burst, connected,
           seconds, (unsigned long long)r->messages, (double)r->messages / seconds,
           histogram_ms(&r->latency, 0.50), histogram_ms(&r->latency, 0.99),
           (double)r->busy / (double)r->elapsed);
    for (int i = 0; i < r->watched_count; i++)
        printf("%s{\"cpu\": %.3f, \"sockets\": %d}", i ? ", " : "", r->watched[i].cpu,
               r->watched[i].sockets);
    printf("]}\n");
}

int main(int count, char **arguments) {
    struct run *r = prepare(read_options(count, arguments));
    int broadcast = !strcmp(r->options.mode, "broadcast");
    uint64_t started = now_ns();
    if (!broadcast && strcmp(r->options.mode, "echo")) fail("%s: echo or broadcast", arguments[1]);
    if (broadcast && r->options.trigger == NULL) fail("broadcast needs --trigger /path");
    fill_frame(r, broadcast ? "go" : NULL);
    open_connections(r, r->connections, r->options.connections, r->options.path);
    double connected = (double)(now_ns() - started) / 1e9;
    if (broadcast) run_broadcast(r);
    else run_echo(r);
    print_report(r, connected);
    return 0;
}
