/* The floor of the machine: receive a request, send the answer - heads and 1 KiB from memory, more
 * with sendfile(2), up to a turn's worth for whoever has room. Of a request it looks only at the
 * first letters of the path and for If-None-Match, so hardly any file server can cost less than
 * this. Usage: floor PORT ROOT                                                                  */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_EVENTS 64
#define MAX_CLIENTS 65536
#define FILES 4
#define TURN (2 << 20)

static const char *const names[FILES] = { "/1k.js", "/64k.js", "/10m.bin", "/100m.bin" };
static const size_t sizes[FILES] = { 1 << 10, 64 << 10, 10 << 20, 100 << 20 };
static const char not_modified[] = "HTTP/1.1 304 Not Modified\r\nETag: \"floor\"\r\n\r\n";

struct answer { char octets[2048]; size_t length; int file; };
static struct answer answers[FILES];

/* What is left for a client, by its descriptor. */
struct transfer { int file; off_t offset, end; int waits; };
static struct transfer transfers[MAX_CLIENTS];

static void die(const char *what) { perror(what); exit(1); }

static void load(int number, const char *root)
{
    struct answer *answer = &answers[number];
    char path[4096];
    snprintf(path, sizeof path, "%s%s", root, names[number]);
    answer->file = open(path, O_RDONLY);
    if (answer->file < 0) die(path);
    answer->length = sprintf(answer->octets,
        "HTTP/1.1 200 OK\r\nContent-Type: text/javascript\r\nETag: \"floor\"\r\n"
        "Content-Length: %zu\r\n\r\n", sizes[number]);
    if (number) return;
    ssize_t size = sizes[0];
    if (read(answer->file, answer->octets + answer->length, size) != size) die(path);
    answer->length += sizes[0];
}

static int listen_on(int port)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 1024)) die("listen");
    return fd;
}

static void watch(int epoll, int operation, int fd, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.fd = fd };
    if (epoll_ctl(epoll, operation, fd, &event)) die("epoll_ctl");
}

static void welcome(int epoll, int listener)
{
    int one = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    if (fd < 0 || fd >= MAX_CLIENTS) { close(fd); return; }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    memset(&transfers[fd], 0, sizeof transfers[fd]);
    watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN);
}

static int find(const char *path)
{
    for (int number = 1; number < FILES; number++)
        if (!memcmp(path, names[number], 4)) return number;
    return 0;
}

/* Send what the client has room for; wait for room when something is left. */
static void go_on(int epoll, int fd)
{
    struct transfer *transfer = &transfers[fd];
    off_t turn = transfer->offset + TURN < transfer->end ? transfer->offset + TURN : transfer->end;
    while (transfer->offset < turn)
        if (sendfile(fd, transfer->file, &transfer->offset, turn - transfer->offset) <= 0) break;
    int waits = transfer->offset < transfer->end;
    if (waits != transfer->waits)
        watch(epoll, EPOLL_CTL_MOD, fd, waits ? EPOLLOUT : EPOLLIN);
    transfer->waits = waits;
}

static void answer(int epoll, int fd)
{
    char request[8192];
    ssize_t received = recv(fd, request, sizeof request, 0);
    if (received <= 0) { close(fd); return; }
    int number = find(request + 4);
    const struct answer *known = &answers[number];
    if (memmem(request, received, "If-None-Match", 13)) {
        send(fd, not_modified, sizeof not_modified - 1, 0);
        return;
    }
    send(fd, known->octets, known->length, 0);
    if (!number) return;
    transfers[fd] = (struct transfer){ .file = known->file, .end = sizes[number] };
    go_on(epoll, fd);
}

static void serve(int epoll, int fd, uint32_t events)
{
    if (events & (EPOLLERR | EPOLLHUP)) close(fd);
    else if (transfers[fd].waits) go_on(epoll, fd);
    else answer(epoll, fd);
}

int main(int argc, char **argv)
{
    struct epoll_event events[MAX_EVENTS];
    if (argc != 3) return 2;
    signal(SIGPIPE, SIG_IGN);
    for (int number = 0; number < FILES; number++) load(number, argv[2]);
    int listener = listen_on(atoi(argv[1])), epoll = epoll_create1(0);
    watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN);
    for (;;) {
        int ready = epoll_wait(epoll, events, MAX_EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd == listener) welcome(epoll, listener);
            else serve(epoll, events[i].data.fd, events[i].events);
        }
    }
}
