/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strftime.c - the date for strftime_now(). Our own, because C's depends on the locale of the process and the
 * prompt must not. The calendar is the proleptic Gregorian one; days to dates after H. Hinnant,
 * "chrono-compatible low-level date algorithms".
 */
#include "text/template/run.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const day_names[] = { "Sunday",   "Monday", "Tuesday", "Wednesday",
                                         "Thursday", "Friday", "Saturday" };
static const char *const month_names[] = { "January",   "February", "March",    "April",
                                           "May",       "June",     "July",     "August",
                                           "September", "October",  "November", "December" };

typedef struct calendar {
    int64_t year;
    int month;       /* 1 to 12 */
    int day;         /* 1 to 31 */
    int day_of_week; /* 0: Sunday */
    int day_of_year; /* from 0 */
    int hour;
    int minute;
    int second;
} calendar;

static bool is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static calendar calendar_of(int64_t now_unix)
{
    static const int days_before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
    /* Years 1 to 9999, as Python has them; the clock cannot be there. */
    const int64_t low = -62135596800;
    const int64_t high = 253402300799;
    const int64_t time = now_unix < low ? low : now_unix > high ? high : now_unix;
    const int64_t since_epoch = time >= 0 ? time / 86400 : -((86399 - time) / 86400);
    const int64_t second_of_day = time - since_epoch * 86400;
    const int64_t days = since_epoch + 719468; /* since 1 March of the year 0 */
    const int64_t era = days / 146097;
    const int64_t day_of_era = days % 146097;
    const int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    const int64_t day = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const int64_t month = (5 * day + 2) / 153; /* from March */
    calendar at;

    at.month = (int)(month < 10 ? month + 3 : month - 9);
    at.year = year_of_era + era * 400 + (at.month <= 2);
    at.day = (int)(day - (153 * month + 2) / 5 + 1);
    at.day_of_week = (int)((since_epoch % 7 + 11) % 7); /* 1 January 1970 was a Thursday */
    at.day_of_year = days_before[at.month - 1] + at.day - 1 + (at.month > 2 && is_leap(at.year));
    at.hour = (int)(second_of_day / 3600);
    at.minute = (int)(second_of_day / 60 % 60);
    at.second = (int)(second_of_day % 60);
    return at;
}

/* The week of ISO 8601 and the year that it belongs to. */
static int iso_week(const calendar *at, int64_t *year_out)
{
    const int weekday = (at->day_of_week + 6) % 7; /* 0: Monday */
    int week = (at->day_of_year - weekday + 10) / 7;

    *year_out = at->year;
    if (week < 1) {
        const int days = is_leap(at->year - 1) ? 366 : 365;

        *year_out = at->year - 1;
        week = (at->day_of_year + days - weekday + 10) / 7;
    } else if (week == 53 && at->day_of_year - weekday + 3 >= (is_leap(at->year) ? 366 : 365)) {
        *year_out = at->year + 1;
        week = 1;
    }
    return week;
}

/* A number in `digits` places, filled as the flag between % and the letter says. */
static bool add_number(snug_builder *builder, int64_t number, int digits, char fill, char flag)
{
    char text[32];

    if (flag == '-')
        digits = 1;
    else if (flag == '_' || flag == '0')
        fill = flag == '_' ? ' ' : '0';
    if (fill == ' ')
        snprintf(text, sizeof text, "%*" PRId64, digits, number);
    else
        snprintf(text, sizeof text, "%0*" PRId64, digits, number);
    return snug_builder_add_text(builder, text);
}

/* The conversions that stand for several others. */
static const char *expansion_of(char letter)
{
    switch (letter) {
    case 'c':
        return "%a %b %e %H:%M:%S %Y";
    case 'D':
    case 'x':
        return "%m/%d/%y";
    case 'F':
        return "%Y-%m-%d";
    case 'T':
    case 'X':
        return "%H:%M:%S";
    case 'R':
        return "%H:%M";
    case 'r':
        return "%I:%M:%S %p";
    default:
        return NULL;
    }
}

static bool add_name(snug_builder *builder, const char *name, bool is_short)
{
    return snug_builder_add(builder, is_short ? (snug_str){ name, 3 } : snug_str_from(name));
}

static bool add_week(snug_builder *builder, const calendar *at, char letter, char flag)
{
    const int weekday = (at->day_of_week + 6) % 7;
    int64_t year;
    const int week = iso_week(at, &year);

    switch (letter) {
    case 'V':
        return add_number(builder, week, 2, '0', flag);
    case 'G':
        return add_number(builder, year, 4, '0', flag);
    case 'g':
        return add_number(builder, year % 100, 2, '0', flag);
    case 'U':
        return add_number(builder, (at->day_of_year + 7 - at->day_of_week) / 7, 2, '0', flag);
    default:
        return add_number(builder, (at->day_of_year + 7 - weekday) / 7, 2, '0', flag);
    }
}

static bool add_conversion(snug_run *run, snug_builder *builder, const calendar *at, char letter, char flag,
                           int64_t now_unix)
{
    switch (letter) {
    case 'a':
    case 'A':
        return add_name(builder, day_names[at->day_of_week], letter == 'a');
    case 'b':
    case 'h':
    case 'B':
        return add_name(builder, month_names[at->month - 1], letter != 'B');
    case 'd':
        return add_number(builder, at->day, 2, '0', flag);
    case 'e':
        return add_number(builder, at->day, 2, ' ', flag);
    case 'H':
        return add_number(builder, at->hour, 2, '0', flag);
    case 'k':
        return add_number(builder, at->hour, 2, ' ', flag);
    case 'I':
    case 'l':
        return add_number(builder, (at->hour + 11) % 12 + 1, 2, letter == 'I' ? '0' : ' ', flag);
    case 'j':
        return add_number(builder, at->day_of_year + 1, 3, '0', flag);
    case 'm':
        return add_number(builder, at->month, 2, '0', flag);
    case 'M':
        return add_number(builder, at->minute, 2, '0', flag);
    case 'S':
        return add_number(builder, at->second, 2, '0', flag);
    case 'y':
        return add_number(builder, at->year % 100, 2, '0', flag);
    case 'C':
        return add_number(builder, at->year / 100, 2, '0', flag);
    case 'Y':
        return add_number(builder, at->year, 1, '0', flag);
    case 'p':
        return snug_builder_add_text(builder, at->hour < 12 ? "AM" : "PM");
    case 'P':
        return snug_builder_add_text(builder, at->hour < 12 ? "am" : "pm");
    case 'f':
        return snug_builder_add_text(builder, "000000");
    case 'u':
        return add_number(builder, at->day_of_week == 0 ? 7 : at->day_of_week, 1, '0', flag);
    case 'w':
        return add_number(builder, at->day_of_week, 1, '0', flag);
    case 's':
        return add_number(builder, now_unix, 1, '0', flag);
    case 'V':
    case 'G':
    case 'g':
    case 'U':
    case 'W':
        return add_week(builder, at, letter, flag);
    case 'n':
        return snug_builder_add_byte(builder, '\n');
    case 't':
        return snug_builder_add_byte(builder, '\t');
    case '%':
        return snug_builder_add_byte(builder, '%');
    case 'z': /* a local time without a zone, as datetime.now() is */
    case 'Z':
        return true;
    default:
        return snug_region_fail(run->region, SNUG_ERR_UNSUPPORTED,
                                "line %u: strftime_now() does not know %%%c", run->line, letter);
    }
}

bool snug_run_format_time(snug_run *run, snug_builder *builder, snug_str format, int64_t now_unix)
{
    const calendar at = calendar_of(now_unix);

    for (size_t i = 0; i < format.bytes; i++) {
        const char *expansion;
        char flag = '\0';

        if (!snug_run_spend(run, 1))
            return false;
        if (format.data[i] != '%' || i + 1 == format.bytes) {
            if (!snug_builder_add_byte(builder, format.data[i]))
                return false;
            continue;
        }
        i++;
        if (i + 1 < format.bytes && (format.data[i] == '-' || format.data[i] == '_' || format.data[i] == '0'))
            flag = format.data[i++];
        expansion = expansion_of(format.data[i]);
        if (expansion ? !snug_run_format_time(run, builder, snug_str_from(expansion), now_unix)
                      : !add_conversion(run, builder, &at, format.data[i], flag, now_unix))
            return false;
    }
    return true;
}
