/* The load generator of the benchmarks: HTTP over mutual TLS 1.3 to a server on loopback, which it verifies.
 *
 *   load connect PORT CA CHAIN KEY PATH PROCESSES CONNECTIONS
 *       each process opens so many new connections, one after the other, each a full handshake and one GET
 *       -> {"ok", "failed", "seconds", "octets" (of one whole answer), "group"}
 *   load stream PORT CA CHAIN KEY PATH SECONDS
 *       GETs over one connection that is kept alive, one after the other, for so long
 *       -> {"requests", "median_ms", "longest_ms"}
 *
 * Every answer must have status 200. Exit code 1 where nothing could be measured.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOOPBACK "127.0.0.1"
#define BUFFER 65536
#define MOST_REQUESTS 2000000

typedef struct {
    SSL *tls;
    int socket;
} Connection;

typedef struct {
    long ok, failed, octets;
    char group[64];
} Count;

static void fail(const char *what) {
    fprintf(stderr, "load: %s\n", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static SSL_CTX *make_context(const char *ca, const char *chain, const char *key) {
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (!context || SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1) fail("no TLS 1.3");
    if (SSL_CTX_load_verify_file(context, ca) != 1) fail(ca);
    if (SSL_CTX_use_certificate_chain_file(context, chain) != 1) fail(chain);
    if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) fail(key);
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_CTX_get0_param(context), LOOPBACK) != 1) fail("no name to verify");
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    /* Both servers can do it; that one of them also does X25519MLKEM768 shall not cost it the race. */
    if (SSL_CTX_set1_groups_list(context, "X25519") != 1) fail("no X25519");
    return context;
}

static int dial(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    int socket_ = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    inet_pton(AF_INET, LOOPBACK, &address.sin_addr);
    if (socket_ < 0) return -1;
    if (connect(socket_, (struct sockaddr *)&address, sizeof address) != 0) {
        close(socket_);
        return -1;
    }
    setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return socket_;
}

static int open_connection(SSL_CTX *context, int port, Connection *made) {
    made->socket = dial(port);
    if (made->socket < 0) return 0;
    made->tls = SSL_new(context);
    SSL_set_fd(made->tls, made->socket);
    return SSL_connect(made->tls) == 1;
}

static void close_connection(Connection *connection) {
    if (connection->socket < 0) return;
    SSL_shutdown(connection->tls);
    SSL_free(connection->tls);
    close(connection->socket);
    ERR_clear_error();
}

/* The length of a whole answer of which `got` octets lie in `buffer`; 0 while its head is not complete. */
static long answer_length(char *buffer, long got) {
    buffer[got] = 0;
    char *end = strstr(buffer, "\r\n\r\n");
    if (!end) return 0;
    char *field = strcasestr(buffer, "\r\ncontent-length:");
    if (!field || field > end) return 0;
    return (end - buffer) + 4 + atol(field + strlen("\r\ncontent-length:"));
}

/* One GET and its whole answer; the octets of the answer, or 0 where it is not a 200. */
static long get(SSL *tls, const char *request) {
    static char buffer[BUFFER + 1];
    long got = 0, wanted = 0;
    if (SSL_write(tls, request, (int)strlen(request)) <= 0) return 0;
    while (!wanted || got < wanted) {
        int more = SSL_read(tls, buffer + got, (int)(BUFFER - got));
        if (more <= 0) return 0;
        got += more;
        if (!wanted) wanted = answer_length(buffer, got);
        if (wanted > BUFFER) fail("the answer is too long");
    }
    return memcmp(buffer, "HTTP/1.1 200", 12) == 0 ? got : 0;
}

static void connect_often(SSL_CTX *context, int port, const char *request, long times, Count *count) {
    for (long i = 0; i < times; i++) {
        Connection connection;
        long octets = open_connection(context, port, &connection) ? get(connection.tls, request) : 0;
        if (octets) {
            count->ok++;
            count->octets = octets;
            snprintf(count->group, sizeof count->group, "%s",
                     OBJ_nid2sn((int)SSL_get_negotiated_group(connection.tls)));
        } else {
            count->failed++;
        }
        close_connection(&connection);
    }
}

static void run_connect(SSL_CTX *context, int port, const char *path, int processes, long times) {
    char request[512];
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, LOOPBACK);
    Count *counts = mmap(NULL, sizeof(Count) * (size_t)processes, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (counts == MAP_FAILED) fail("no memory");
    double start = now();
    for (int p = 0; p < processes; p++) {
        pid_t child = fork();
        if (child < 0) fail("no process");
        if (child == 0) {
            connect_often(context, port, request, times, &counts[p]);
            _exit(0);
        }
    }
    while (wait(NULL) > 0) continue;
    double seconds = now() - start;
    Count all = {0};
    for (int p = 0; p < processes; p++) {
        all.ok += counts[p].ok;
        all.failed += counts[p].failed;
        if (counts[p].octets) all.octets = counts[p].octets, memcpy(all.group, counts[p].group, sizeof all.group);
    }
    printf("{\"ok\": %ld, \"failed\": %ld, \"seconds\": %.6f, \"octets\": %ld, \"group\": \"%s\"}\n", all.ok,
           all.failed, seconds, all.octets, all.group);
}

static int by_size(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void run_stream(SSL_CTX *context, int port, const char *path, double seconds) {
    static float latencies[MOST_REQUESTS];
    char request[512];
    Connection connection;
    long count = 0;
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, LOOPBACK);
    if (!open_connection(context, port, &connection)) fail("the handshake failed");
    double start = now(), before = start;
    while (count < MOST_REQUESTS && before - start < seconds) {
        if (!get(connection.tls, request)) fail("a request failed");
        double after = now();
        latencies[count++] = (float)(after - before);
        before = after;
    }
    close_connection(&connection);
    qsort(latencies, (size_t)count, sizeof *latencies, by_size);
    printf("{\"requests\": %ld, \"median_ms\": %.4f, \"longest_ms\": %.4f}\n", count,
           (double)latencies[count / 2] * 1e3, (double)latencies[count - 1] * 1e3);
}

int main(int count, char **words) {
    if (count < 8) fail("too few arguments: see the head of load.c");
    signal(SIGPIPE, SIG_IGN);
    int port = atoi(words[2]);
    SSL_CTX *context = make_context(words[3], words[4], words[5]);
    if (strcmp(words[1], "connect") == 0 && count == 9)
        run_connect(context, port, words[6], atoi(words[7]), atol(words[8]));
    else if (strcmp(words[1], "stream") == 0 && count == 8)
        run_stream(context, port, words[6], atof(words[7]));
    else
        fail("see the head of load.c");
    SSL_CTX_free(context);
    return 0;
}
