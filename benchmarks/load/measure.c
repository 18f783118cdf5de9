/* Clocks, the latency histogram, and the one way this program fails. */
#include "load.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NANOSECONDS + (uint64_t)t.tv_nsec;
}

static uint64_t cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * NANOSECONDS + (uint64_t)t.tv_nsec;
}

/* Spinning, the CPU time is all time: then wait_events counts what was spent on events. */
static uint64_t busy_ns(const struct run *r) { return r->options.spin ? r->at_work : cpu_ns(); }

/* The server's own CPU time is what a busy machine distorts least. The times are the 14th
 * and 15th field; counted from behind the name, which may hold spaces. */
static double process_cpu(long id) {
    char path[64], text[1024] = "";
    unsigned long user = 0, kernel = 0;
    snprintf(path, sizeof path, "/proc/%ld/stat", id);
    FILE *file = fopen(path, "r");
    if (file == NULL) fail("process %ld of the server is gone", id);
    size_t size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[size] = '\0';
    char *rest = strrchr(text, ')');
    if (rest == NULL || sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                               &user, &kernel) != 2)
        fail("%s is not as expected", path);
    return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

static int process_sockets(long id) {
    char path[64], target[16];
    int count = 0;
    snprintf(path, sizeof path, "/proc/%ld/fd", id);
    DIR *folder = opendir(path);
    if (folder == NULL) fail("process %ld of the server is gone", id);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        if (readlinkat(dirfd(folder), entry->d_name, target, sizeof target) > 7 &&
            !memcmp(target, "socket:", 7))
            count++;
    closedir(folder);
    return count;
}

void list_watched(struct run *r) {
    const char *list = r->options.watch;
    while (list != NULL && *list != '\0') {
        char *end;
        if (r->watched_count == MAX_WATCHED) fail("--watch: at most %d processes", MAX_WATCHED);
        r->watched[r->watched_count++].id = strtol(list, &end, 10);
        if (end == list) fail("--watch: expected process ids separated by commas");
        list = *end == ',' ? end + 1 : end;
    }
}

void start_measuring(struct run *r) {
    r->measuring = 1;
    for (int i = 0; i < r->watched_count; i++) {
        r->watched[i].sockets = process_sockets(r->watched[i].id);
        r->watched[i].cpu = process_cpu(r->watched[i].id);
    }
    r->elapsed = now_ns();
    r->busy = busy_ns(r);
}

void stop_measuring(struct run *r) {
    r->measuring = 0;
    r->elapsed = now_ns() - r->elapsed;
    r->busy = busy_ns(r) - r->busy;
    for (int i = 0; i < r->watched_count; i++)
        r->watched[i].cpu = process_cpu(r->watched[i].id) - r->watched[i].cpu;
}

/* Below STEPS a value is its own bucket; above, the top bits choose the step. */
static unsigned bucket_of(uint64_t value) {
    if (value < STEPS) return (unsigned)value;
    unsigned power = 63u - (unsigned)__builtin_clzll(value);
    unsigned shift = power - 6;
    return (shift + 1) * STEPS + (unsigned)((value >> shift) - STEPS);
}

static double middle_of(unsigned bucket) {
    if (bucket < STEPS) return bucket;
    unsigned shift = bucket / STEPS - 1;
    return ((double)(bucket % STEPS + STEPS) + 0.5) * (double)(1ull << shift);
}

void histogram_add(struct histogram *h, uint64_t nanoseconds) {
    unsigned bucket = bucket_of(nanoseconds);
    h->counts[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    h->total++;
}

double histogram_ms(const struct histogram *h, double quantile) {
    uint64_t wanted = (uint64_t)(quantile * (double)h->total);
    uint64_t seen = 0;
    for (unsigned i = 0; i < BUCKETS; i++) {
        seen += h->counts[i];
        if (seen > wanted) return middle_of(i) / 1e6;
    }
    return 0.0;
}

void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}
