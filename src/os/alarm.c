/* SPDX-License-Identifier: Apache-2.0 */
/*
 * alarm.c - alarm.h on epoll.
 *
 * A trigger without CAP_SYS_RESOURCE must have a window of whole two seconds, and may come that late: enough
 * to wake somebody who does nothing. Who computes samples instead (watch.h).
 */
#define _GNU_SOURCE

#include "os/alarm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "os/read.h"

/* Some thread waits for memory for 100 ms of 2 s. */
static const char trigger[] = "some 100000 2000000";

static void add_missing(snug_os_alarm *alarm, const char *what, int code)
{
    char reason[96];

    snug_os_error_text(code, reason, sizeof reason);
    snprintf(alarm->missing, sizeof alarm->missing,
             "%.100s: %s; pressure is noticed when it is sampled, but wakes nobody who sleeps", what, reason);
}

/* --- base64 --------------------------------------------------------------------------------------------- */

static int digit_of(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* False for what is no base64, or too long. */
static bool decode(unsigned char *out, size_t capacity, size_t *bytes_out, const char *text)
{
    size_t length = strlen(text);
    size_t bytes = 0;
    uint32_t bits = 0;

    while (length > 0 && text[length - 1] == '=')
        length--;
    for (size_t i = 0; i < length; i++) {
        const int digit = digit_of(text[i]);

        if (digit < 0)
            return false;
        bits = bits << 6 | (uint32_t)digit;
        if (i % 4 == 0) /* the first digit of four completes no byte */
            continue;
        if (bytes == capacity)
            return false;
        out[bytes++] = (unsigned char)(bits >> (6 - 2 * (i % 4)));
    }
    *bytes_out = bytes;
    return length % 4 != 1;
}

/* --- the source ----------------------------------------------------------------------------------------- */

/* Wait for `file`: POLLPRI for files of the kernel, POLLIN for what sends bytes. */
static bool wait_for(const snug_os_alarm *alarm, int file, bool is_bytes)
{
    struct epoll_event event = { .events = is_bytes ? EPOLLIN : EPOLLPRI, .data.fd = file };

    return file >= 0 && epoll_ctl(alarm->poll_file, EPOLL_CTL_ADD, file, &event) == 0;
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int file;

    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    file = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (file >= 0 && connect(file, (const struct sockaddr *)&address, sizeof address) != 0) {
        const int code = errno;

        close(file);
        errno = code;
        return -1;
    }
    return file;
}

static int open_source(const char *path, bool *is_bytes_out)
{
    struct stat status;

    if (stat(path, &status) != 0)
        return -1;
    *is_bytes_out = S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode);
    if (S_ISSOCK(status.st_mode))
        return connect_to(path);
    /* A FIFO that is open for writing too has no end when its other writers go. */
    return open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
}

static void use_given_source(snug_os_alarm *alarm, const snug_os_alarm_options *options)
{
    unsigned char first[256];
    size_t bytes = 0;

    if (strcmp(options->watch_path, "/dev/null") == 0) {
        snprintf(alarm->missing, sizeof alarm->missing,
                 "MEMORY_PRESSURE_WATCH is /dev/null: nobody who sleeps is woken");
        return;
    }
    if (options->write_bytes && !decode(first, sizeof first, &bytes, options->write_bytes)) {
        add_missing(alarm, "MEMORY_PRESSURE_WRITE is not base64 of at most 256 bytes", EINVAL);
        return;
    }
    alarm->source_file = open_source(options->watch_path, &alarm->is_drained);
    if (alarm->source_file < 0 || (bytes > 0 && write(alarm->source_file, first, bytes) != (ssize_t)bytes) ||
        !wait_for(alarm, alarm->source_file, alarm->is_drained))
        add_missing(alarm, options->watch_path, errno);
}

/* A trigger on a pressure file; -1, with errno, when it cannot be had. */
static int open_trigger(const char *path)
{
    int file = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);

    if (file >= 0 && write(file, trigger, sizeof trigger) < 0) {
        const int code = errno;

        close(file);
        errno = code;
        return -1;
    }
    return file;
}

/* Of our own group if we may, else of the machine. */
static void use_trigger(snug_os_alarm *alarm)
{
    snug_os_cgroup_place place;
    char path[SNUG_OS_CGROUP_FILE_PATH_BYTES];

    if (snug_os_cgroup_locate_v2(alarm->root, &place) &&
        snug_os_cgroup_file_path(path, &place, "memory.pressure"))
        alarm->source_file = open_trigger(path);
    if (alarm->source_file < 0) {
        snprintf(path, sizeof path, "%s/proc/pressure/memory", alarm->root);
        alarm->source_file = open_trigger(path);
    }
    if (!wait_for(alarm, alarm->source_file, false))
        add_missing(alarm, "no pressure stall information (PSI) from this kernel", errno);
}

void snug_os_alarm_open(snug_os_alarm *alarm, const snug_os_alarm_options *options)
{
    *alarm =
        (snug_os_alarm){ .root = options->root, .source_file = -1, .is_given = options->watch_path != NULL };
    alarm->poll_file = epoll_create1(EPOLL_CLOEXEC);
    if (alarm->poll_file < 0) {
        add_missing(alarm, "no descriptor left to wait on", errno);
        return;
    }
    if (options->watch_path)
        use_given_source(alarm, options);
    else
        use_trigger(alarm);
}

void snug_os_alarm_close(snug_os_alarm *alarm)
{
    if (alarm->source_file >= 0)
        close(alarm->source_file);
    if (alarm->poll_file >= 0)
        close(alarm->poll_file);
    alarm->source_file = -1;
    alarm->poll_file = -1;
}

void snug_os_alarm_add(snug_os_alarm *alarm, const snug_os_watch *watch)
{
    char text[512];

    for (size_t i = 0; i < watch->file_count; i++) {
        /* Files of kernfs are ready until they have been read once. */
        if (snug_os_read_again(watch->files[i].events, text, sizeof text))
            (void)wait_for(alarm, watch->files[i].events, false);
    }
}

/* --- what happened -------------------------------------------------------------------------------------- */

/* Reads what was sent. At its end, or when it is broken, the source is waited for no longer. */
static void drain(snug_os_alarm *alarm)
{
    char bytes[256];
    ssize_t got;

    do
        got = recv(alarm->source_file, bytes, sizeof bytes, MSG_DONTWAIT);
    while (got == (ssize_t)sizeof bytes || (got < 0 && errno == EINTR));
    if (got < 0 && errno == ENOTSOCK) {
        do
            got = read(alarm->source_file, bytes, sizeof bytes);
        while (got == (ssize_t)sizeof bytes || (got < 0 && errno == EINTR));
    }
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK)) {
        add_missing(alarm, "the other side of MEMORY_PRESSURE_WATCH went away", got == 0 ? EPIPE : errno);
        (void)epoll_ctl(alarm->poll_file, EPOLL_CTL_DEL, alarm->source_file, NULL);
    }
}

snug_os_alarm_events snug_os_alarm_step(snug_os_alarm *alarm, bool is_woken)
{
    struct epoll_event event[SNUG_OS_WATCHED_LEVELS_MAX + 1];
    snug_os_alarm_events out = { .is_pressed = false };
    char text[512];
    int count =
        alarm->poll_file < 0 ? 0 : epoll_wait(alarm->poll_file, event, SNUG_OS_WATCHED_LEVELS_MAX + 1, 0);

    out.is_pressed = is_woken && count == 0 && alarm->source_file >= 0 && !alarm->is_drained;
    for (int i = 0; i < count; i++) {
        if (event[i].data.fd != alarm->source_file) {
            out.is_limit = true;
            (void)snug_os_read_again(event[i].data.fd, text, sizeof text); /* until the next change */
        } else if (alarm->is_drained) {
            out.is_pressed = true;
            drain(alarm);
        } else if ((event[i].events & EPOLLERR) && !alarm->is_given) { /* our group is another one now */
            close(alarm->source_file);
            alarm->source_file = -1;
            use_trigger(alarm);
        } else {
            out.is_pressed = true;
        }
    }
    return out;
}
