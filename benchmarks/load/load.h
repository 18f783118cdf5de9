/* The load generator: WebSocket clients on one thread with epoll.
 *
 * Written in C because the generator must cost less than any server it drives:
 * a figure taken while the generator was the slower side says nothing about the
 * server. Its own share of a core is part of every report for that reason.
 * It speaks to 127.0.0.1 and nothing else, and everything it does is bounded in
 * number and in time. */
#ifndef LOAD_H
#define LOAD_H

#include <stddef.h>
#include <stdint.h>

#define MAX_CONNECTIONS 20000
#define MAX_SIZE 8192
#define MAX_BURST 64
#define MAX_SECONDS 120.0
#define MAX_WATCHED 64
/* Holds the largest frame twice, so that a read seldom ends inside one. */
#define BUFFER_SIZE (2 * MAX_SIZE + 64)
#define NANOSECONDS 1000000000ull

struct options {
    const char *mode;
    int port;
    int connections;
    double seconds;
    double warmup;
    double deadline; /* for all handshakes together, and for each round */
    int size;
    int burst;
    const char *path;
    const char *trigger;
    int spin; /* never sleep: see wait_events */
    const char *watch; /* process ids of the server, separated by commas */
};

enum state { CONNECTING, SHAKING, OPEN };

struct connection {
    int fd;
    int index;
    enum state state;
    size_t filled;
    uint64_t sent_at;
    const char *path;
    unsigned char *buffer;
};

/* Called for each data message; `now` is the time of the read that brought it. */
struct run;
typedef void (*message_handler)(struct run *, struct connection *, size_t size, uint64_t now);

/* 64 steps per power of two: 1.6 % resolution in fixed memory, whatever comes. */
#define STEPS 64
#define BUCKETS (STEPS * 60)

struct histogram {
    uint64_t counts[BUCKETS];
    uint64_t total;
};

/* A process of the server: the seconds of CPU it had meanwhile, its open sockets before. */
struct watched {
    long id;
    double cpu;
    int sockets;
};

struct run {
    struct options options;
    int epoll;
    int open_count;
    struct connection *connections;
    struct connection trigger;
    message_handler on_message;
    unsigned char frame[MAX_SIZE + 16]; /* the one message every client sends, masked */
    size_t frame_size;
    struct histogram latency;
    int measuring;
    uint64_t elapsed; /* of the measured part, and the time at work in it */
    uint64_t busy;
    uint64_t at_work;
    struct watched watched[MAX_WATCHED];
    int watched_count;
    uint64_t messages;
    uint64_t pending; /* broadcast: deliveries the current round still waits for */
    uint64_t round_started;
};

/* measure.c */
uint64_t now_ns(void);
void list_watched(struct run *);
void start_measuring(struct run *);
void stop_measuring(struct run *);
void histogram_add(struct histogram *, uint64_t nanoseconds);
double histogram_ms(const struct histogram *, double quantile);
void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* websocket.c */
size_t build_frame(unsigned char *out, unsigned opcode, const char *payload, size_t size);
void read_messages(struct run *, struct connection *);
void send_all(struct connection *, const unsigned char *data, size_t size);

/* connect.c */
void raise_descriptor_limit(int wanted);
void open_connections(struct run *, struct connection *, int count, const char *path);
void advance_handshake(struct run *, struct connection *);
void wait_events(struct run *, int timeout_ms);

/* echo.c, broadcast.c */
void run_echo(struct run *);
void run_broadcast(struct run *);

#endif
