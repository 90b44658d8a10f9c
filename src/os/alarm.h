/* SPDX-License-Identifier: Apache-2.0 */
/*
 * alarm.h - one descriptor that becomes readable when somebody says that memory is short: the kernel through
 * a trigger on its pressure stall information, a service manager through the file of MEMORY_PRESSURE_WATCH,
 * or a control group that met its limit.
 *
 * Formats: the kernel's accounting/psi.rst; systemd's "Memory Pressure Handling" (PRESSURE.md).
 */
#ifndef SNUG_SRC_OS_ALARM_H
#define SNUG_SRC_OS_ALARM_H

#include "os/watch.h"

typedef struct snug_os_alarm_options {
    const char *root;        /* as for the functions of machine.h */
    const char *watch_path;  /* MEMORY_PRESSURE_WATCH: a pressure file, FIFO or stream socket; NULL: none */
    const char *write_bytes; /* MEMORY_PRESSURE_WRITE: base64 of what is written to it first; NULL: nothing */
} snug_os_alarm_options;

typedef struct snug_os_alarm {
    const char *root;
    int poll_file;   /* readable when there is something to step through; -1 when nothing can be waited for */
    int source_file; /* what the service manager gave, or a trigger of our own */
    bool is_given;   /* by the service manager */
    bool is_drained; /* the source sends bytes, which are read and thrown away */
    char missing[320]; /* a sentence about what will not be noticed; empty when nothing is missing */
} snug_os_alarm;

/* Cannot fail: what is not there is said in `missing`. */
void snug_os_alarm_open(snug_os_alarm *alarm, const snug_os_alarm_options *options);
void snug_os_alarm_close(snug_os_alarm *alarm);

/* Wait for the events of the groups of `watch` too. They go when the watch closes their files. */
void snug_os_alarm_add(snug_os_alarm *alarm, const snug_os_watch *watch);

typedef struct snug_os_alarm_events {
    bool is_pressed; /* somebody said that memory is short */
    bool is_limit;   /* a group met its limit, or limits changed */
} snug_os_alarm_events;

/*
 * What has happened since the last step. Does not wait; about a microsecond when nothing has. `is_woken`: the
 * descriptor has been seen readable. The kernel forgets the event of a trigger when it has told it, so that
 * being woken, with nothing left to see, is the event.
 */
snug_os_alarm_events snug_os_alarm_step(snug_os_alarm *alarm, bool is_woken);

#endif /* SNUG_SRC_OS_ALARM_H */
