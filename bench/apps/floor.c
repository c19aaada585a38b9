/* The floor of the machine: receive a request, send the answer - 1 KiB from memory, more with
 * sendfile(2). Of a request it looks only at the first letters of the path, so hardly any file
 * server can cost less than this. Usage: floor PORT ROOT                                        */

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
#define FILES 4

static const char *const names[FILES] = { "/1k.js", "/64k.js", "/10m.bin", "/100m.bin" };
static const size_t sizes[FILES] = { 1 << 10, 64 << 10, 10 << 20, 100 << 20 };

struct answer { char octets[2048]; size_t length; int file; };
static struct answer answers[FILES];

static void die(const char *what) { perror(what); exit(1); }

static void load(int number, const char *root)
{
    struct answer *answer = &answers[number];
    char path[4096];
    snprintf(path, sizeof path, "%s%s", root, names[number]);
    answer->file = open(path, O_RDONLY);
    if (answer->file < 0) die(path);
    answer->length = sprintf(answer->octets,
        "HTTP/1.1 200 OK\r\nContent-Type: text/javascript\r\nContent-Length: %zu\r\n\r\n",
        sizes[number]);
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

static void watch(int epoll, int fd)
{
    struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
}

static void welcome(int epoll, int listener)
{
    int one = 1, fd = accept(listener, NULL, NULL);
    if (fd < 0) return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    watch(epoll, fd);
}

static int find(const char *path)
{
    for (int number = 1; number < FILES; number++)
        if (!memcmp(path, names[number], 4)) return number;
    return 0;
}

static void serve(int fd)
{
    char request[8192];
    if (recv(fd, request, sizeof request, 0) <= 0) { close(fd); return; }
    int number = find(request + 4);
    const struct answer *answer = &answers[number];
    ssize_t sent = send(fd, answer->octets, answer->length, number ? MSG_MORE : 0);
    off_t offset = 0, end = number ? (off_t)sizes[number] : 0;
    while (sent > 0 && offset < end) sent = sendfile(fd, answer->file, &offset, end - offset);
    if (sent <= 0) close(fd);
}

int main(int argc, char **argv)
{
    struct epoll_event events[MAX_EVENTS];
    if (argc != 3) return 2;
    signal(SIGPIPE, SIG_IGN);
    for (int number = 0; number < FILES; number++) load(number, argv[2]);
    int listener = listen_on(atoi(argv[1])), epoll = epoll_create1(0);
    watch(epoll, listener);
    for (;;) {
        int ready = epoll_wait(epoll, events, MAX_EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd == listener) welcome(epoll, listener);
            else serve(events[i].data.fd);
        }
    }
}
