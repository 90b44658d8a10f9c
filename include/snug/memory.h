/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snug/memory.h - the ledger: who holds how many bytes, how many are left, and what the machine says.
 *
 * Every byte the library owns is reserved in a snug_memory, under one use, before it is committed. Two
 * limits: past the soft one the pressure callback is told; at the hard one the request is refused with the
 * figures (SNUG_ERR_OVER_LIMIT) and nothing changes. Reservations count committed pages, never address space.
 * Mapped weights are not in the ledger: the kernel can drop them at any time. They are counted beside it.
 *
 * Beside it: snug_memory_read_state() says how much this process may use, and who says so.
 *
 * Threads: every function may be called from any thread; reading counts takes no lock.
 */
#ifndef SNUG_MEMORY_H
#define SNUG_MEMORY_H

#include <snug/pressure.h>

SNUG_BEGIN_DECLS

typedef struct snug_memory snug_memory;

/* X(name, number, "name in reports"). New uses are appended. */
#define SNUG_MEMORY_USE_MAP(X)                                                                               \
    X(WEIGHTS, 0, "weights")                                                                                 \
    X(KV, 1, "kv")                                                                                           \
    X(SCRATCH, 2, "scratch")                                                                                 \
    X(TEXT, 3, "text")                                                                                       \
    X(CACHE, 4, "cache")                                                                                     \
    X(OTHER, 5, "other")

typedef enum snug_memory_use {
#define SNUG_MEMORY_USE_ENUM(name, number, text) SNUG_MEMORY_##name = number,
    SNUG_MEMORY_USE_MAP(SNUG_MEMORY_USE_ENUM)
#undef SNUG_MEMORY_USE_ENUM
    SNUG_MEMORY_USE_COUNT
} snug_memory_use;

/* "weights", "kv" ...: the name in reports and in JSON. */
SNUG_API const char *snug_memory_use_name(snug_memory_use use);

typedef struct snug_memory_count {
    uint64_t used_bytes;
    uint64_t peak_bytes; /* the highest used_bytes since the ledger was made */
    uint64_t blocks;     /* live reservations: 0 once everything is destroyed */
} snug_memory_count;

/* Runs on the reserving thread, with no lock held, when use rises past the soft limit; before relief does. */
typedef void (*snug_memory_pressure_fn)(void *user, uint64_t used_bytes, uint64_t soft_bytes);

/* Write { .struct_size = sizeof(snug_memory_options) } first: the struct may grow at its end. */
typedef struct snug_memory_options {
    size_t struct_size;
    uint64_t soft_bytes; /* 0: none. At most hard_bytes when both are set */
    uint64_t hard_bytes; /* 0: none */
    snug_memory_pressure_fn on_pressure;
    void *user;
    uint64_t fail_after; /* for tests: refuse the n-th reservation, and only that one; 0: none */
} snug_memory_options;

/* `options` may be NULL: no limits. Errors: ARGUMENT (soft above hard, unknown struct_size), NO_MEMORY. */
SNUG_API SNUG_MUST_CHECK snug_status snug_memory_create(snug_memory **memory_out,
                                                        const snug_memory_options *options);

/*
 * Replace both limits of the user (0: none). What is reserved stays: a limit below it refuses what comes
 * next. Errors: ARGUMENT (soft above hard).
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_memory_set_limits(snug_memory *memory, uint64_t soft_bytes,
                                                            uint64_t hard_bytes);

/* Asserts that every reservation was given back. NULL is allowed. */
SNUG_API void snug_memory_destroy(snug_memory *memory);

SNUG_API snug_memory_count snug_memory_read(const snug_memory *memory, snug_memory_use use);
SNUG_API snug_memory_count snug_memory_read_all(const snug_memory *memory); /* the sum; its own peak */

/*
 * Count bytes of your own, before they are allocated, or be refused with the figures (OVER_LIMIT) as
 * everybody is; `what` names them in that sentence. Given back in any pieces, under the same use.
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_memory_reserve(snug_memory *memory, snug_memory_use use,
                                                         uint64_t bytes, const char *what, snug_error *error);
SNUG_API void snug_memory_unreserve(snug_memory *memory, snug_memory_use use, uint64_t bytes);

/*
 * The highest unreclaimable bytes of this process the kernel has shown to snug_memory_sample() since the
 * ledger was made. Sampled when a load ends, and by sessions after each chunk and each token, once a
 * millisecond at most; a sample takes some 10 microseconds.
 */
SNUG_API uint64_t snug_memory_measured_peak(const snug_memory *memory);
SNUG_API void snug_memory_sample(snug_memory *memory);

/*
 * Mapped weights that are read for each token, of all open models: they should stay in memory for speed, but
 * are not in the ledger. Models count themselves.
 */
SNUG_API uint64_t snug_memory_wanted_weights(const snug_memory *memory);

/* One point of the timeline: kept at each new peak of 1/64 or more, the oldest dropped when the ring is
 * full. */
typedef struct snug_memory_point {
    uint64_t time_ns; /* monotonic, since the ledger was made */
    uint64_t used_bytes;
    uint64_t use_bytes[SNUG_MEMORY_USE_COUNT];
} snug_memory_point;

/* Copies up to `capacity` points, oldest first; returns how many there are. Takes a short lock. */
SNUG_API size_t snug_memory_timeline(snug_memory *memory, snug_memory_point *points_out, size_t capacity);

/* --- how much may be used ------------------------------------------------------------------------------ */

#define SNUG_MEMORY_UNKNOWN  UINT64_MAX       /* the system does not say: not the same as no limit */
#define SNUG_MEMORY_NO_LIMIT (UINT64_MAX - 1) /* the system says: no limit here */

/* Who binds: the source with the least room. */
typedef enum snug_memory_source {
    SNUG_MEMORY_SOURCE_NONE = 0,          /* nothing is known */
    SNUG_MEMORY_SOURCE_USER = 1,          /* the ledger's hard limit */
    SNUG_MEMORY_SOURCE_CGROUP_MAX = 2,    /* a control group's memory.max: above it the kernel kills */
    SNUG_MEMORY_SOURCE_CGROUP_HIGH = 3,   /* its memory.high: above it the kernel throttles */
    SNUG_MEMORY_SOURCE_HOST = 4,          /* what the machine has left */
    SNUG_MEMORY_SOURCE_ADDRESS_SPACE = 5, /* RLIMIT_AS */
    SNUG_MEMORY_SOURCE_DATA = 6,          /* RLIMIT_DATA */
} snug_memory_source;

/* One control group. Every number may be UNKNOWN, limits and rooms also NO_LIMIT. */
typedef struct snug_memory_level {
    char path[256]; /* "/a/b"; a long one is cut in front */
    uint64_t max_bytes;
    uint64_t high_bytes;
    uint64_t current_bytes;     /* everybody's, page cache included */
    uint64_t reclaimable_bytes; /* the part of it that the kernel drops before it refuses */
    uint64_t reserve_bytes;     /* kept free below max: see docs/memory.md */
    uint64_t headroom_bytes;    /* min(max - reserve, high) - current + reclaimable, not below 0 */
    uint64_t hard_bytes;        /* max - current + reclaimable: until the kernel kills or refuses */
    uint64_t comfort_bytes;     /* headroom less the weights that should stay: until it gets slow */
} snug_memory_level;

#define SNUG_MEMORY_LEVELS_MAX 16

#define SNUG_VOTE_NONE (-1.0) /* a vote that is not cast */

/*
 * What this process may use now, and how that follows. All bytes; UNKNOWN and NO_LIMIT as above.
 *
 * limit = the least of: the ledger's hard limit; anonymous + headroom of each control group, or less what
 * that group is beyond its bound; anonymous + headroom of the host; own + room of each rlimit. So it is below
 * own where others have taken our part. Unreclaimable bytes alone count against it: mapped weights do not,
 * the kernel can drop them. What is unknown takes no part, so look at is_complete.
 */
typedef struct snug_memory_state {
    uint64_t limit_bytes;    /* for the unreclaimable bytes of this process */
    uint64_t own_bytes;      /* the larger of what it has and what the ledger has promised */
    uint64_t headroom_bytes; /* limit less own, not below 0: how much more can be taken */
    /* How much more before mapped weights are pushed out or the kernel throttles: headroom with the mapped
     * files that are in memory now, and the weights that are wanted there, counted as needed. */
    uint64_t comfort_bytes;
    uint64_t hard_bytes; /* how much more before the kernel kills: no reserve, and no memory.high */
    snug_memory_source binding;
    size_t binding_level;   /* into level[], when a control group binds */
    char binding_text[320]; /* "cgroup /a/b memory.max", "the memory limit that was set" ... */
    bool is_complete;       /* false when a source could not be read: the real limit may be lower */

    /* The same without the user's limit: what the machine allows, and who says so. */
    uint64_t machine_limit_bytes;
    char machine_text[320];

    uint64_t user_hard_bytes; /* NO_LIMIT when none is set */
    uint64_t user_soft_bytes;
    uint64_t ledger_used_bytes;
    uint64_t wanted_weight_bytes; /* mapped weights that are read for each token */

    /*
     * How tight it is, each as a part of its own limit: 0 empty, 1 full, SNUG_VOTE_NONE unknown or no limit.
     * The ledger's is the larger of ledger used / user limit and (own + wanted weights) / limit of groups and
     * host; the container's 1 - comfort / (max - reserve, or high) of the level with the least comfort; the
     * host's 1 - (available - reserve) / total.
     */
    double ledger_vote;
    double container_vote;
    double host_vote;
    double hard_usage; /* the largest, were only unreclaimable bytes to count: 1 is a refusal, or a kill */
    double usage;      /* the largest; above 0.85 only if hard_usage is above 0.70 */
    snug_pressure pressure; /* the band of usage; a snug_monitor also knows what was before */

    uint64_t process_anonymous_bytes; /* unreclaimable without swap; shared memory included */
    uint64_t process_file_bytes;      /* mapped files that are in memory: evictable */
    uint64_t process_resident_bytes;

    uint64_t host_total_bytes;
    uint64_t host_available_bytes; /* the kernel's estimate of what can be taken without swapping */
    uint64_t host_reserve_bytes;  /* left to the machine: the larger of 256 MiB and 5 %; see docs/memory.md */
    uint64_t host_headroom_bytes; /* available less reserve */

    uint64_t address_space_bytes; /* RLIMIT_AS: mapped files and reservations count too */
    uint64_t address_space_used_bytes;
    uint64_t data_bytes; /* RLIMIT_DATA: private writable memory */
    uint64_t data_used_bytes;

    int cgroup_version; /* 2, 1, or 0: no control group has a say about memory */
    bool is_cgroup_cut; /* levels are hidden (in a container those above it) or could not be read */
    size_t level_count; /* our own group first, then its parents */
    snug_memory_level level[SNUG_MEMORY_LEVELS_MAX];
} snug_memory_state;

/*
 * Read it all, afresh. `memory` adds the limits and use of a ledger; NULL: none. Cost: some ten to twenty
 * small files, 0.2 ms; takes about 64 KiB of stack and no heap. Cannot fail: what cannot be read is UNKNOWN.
 */
SNUG_API void snug_memory_read_state(snug_memory_state *out, const snug_memory *memory);

/* --- giving back --------------------------------------------------------------------------------------- */

/*
 * Gives memory back when it is short: at least `want` bytes if it can (UINT64_MAX: all it has to spare).
 * Returns how many it gave back to the ledger or to the system, 0 for none.
 *
 * Runs on the thread whose reservation passed the soft limit or does not fit under the hard one, or which
 * calls snug_memory_cleanup(); never on two at once. It may reserve and give back, but what does not fit is
 * refused without another round. It must not add or remove relievers, nor wait for a lock that any thread
 * holds while it reserves.
 */
typedef uint64_t (*snug_memory_release_fn)(void *user, uint64_t want);

/*
 * Who is asked when: lower ranks first, of equals the one that was added first, each for what is still
 * missing. A session that adapts asks by these bounds on its way down (snug_relief_step): below PREFIX before
 * anything else, PREFIX up to IDLE before it halves its prefill chunk, the others before its cache gets fewer
 * bits. So a prefix cache is given up before a conversation feels anything, and idle models before it loses
 * bits.
 */
#define SNUG_MEMORY_RANK_SLACK  0   /* what nobody misses: pools of buffers, slack of an allocator */
#define SNUG_MEMORY_RANK_PREFIX 100 /* prefixes kept for later conversations: least recently used first */
#define SNUG_MEMORY_RANK_IDLE   200 /* idle models and sessions: seconds until they are back */

/* Storage of the caller, who keeps it until it is removed. */
typedef struct snug_memory_reliever {
    const char *name; /* in reports: "prefix cache" */
    int rank;         /* SNUG_MEMORY_RANK_..., or a number between */
    snug_memory_release_fn release;
    void *user;
    struct snug_memory_reliever *next; /* the ledger's own */
} snug_memory_reliever;

SNUG_API void snug_memory_add_reliever(snug_memory *memory, snug_memory_reliever *reliever);
/* Waits until it does not run. One that was not added is no error. */
SNUG_API void snug_memory_remove_reliever(snug_memory *memory, snug_memory_reliever *reliever);

/*
 * Ask every reliever for all it has, and the heap for the pages it keeps without use. Returns by how much the
 * unreclaimable bytes of this process, as the kernel counts them, are now lower; 0 when they are not. Some
 * milliseconds. `memory` may be NULL: the heap alone.
 */
SNUG_API uint64_t snug_memory_cleanup(snug_memory *memory);

/* --- limits that follow the machine -------------------------------------------------------------------- */

typedef struct snug_memory_limits {
    uint64_t soft_bytes; /* of the ledger; NO_LIMIT */
    uint64_t hard_bytes;
    uint64_t used_bytes; /* above hard_bytes when the machine has less than before: nothing more is granted */
    char limited_by[320]; /* who sets hard_bytes: "cgroup /a memory.max"; "" for the user's limit, or none */
} snug_memory_limits;

/* The limits that count now: the lower of the user's and the adaptive ones. */
SNUG_API void snug_memory_read_limits(snug_memory_limits *out, snug_memory *memory);

/*
 * Set limits beside the user's from what is really available now: the hard one so that the process stays
 * within its effective limit, the soft one where the strategy begins to give back (70 %, conservative 85 %,
 * aggressive 50 % of it). Idempotent; call it again, or let a monitor do so, and they follow the machine, up
 * and down. What is already above the soft limit is given back by relievers, as far as they can. Costs what
 * snug_memory_read_state() does. `limits_out` may be NULL. Errors: ARGUMENT (no such strategy).
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_memory_set_adaptive_limits(snug_memory *memory,
                                                                     snug_strategy strategy,
                                                                     snug_memory_limits *limits_out);
/* Back to the user's limits alone. */
SNUG_API void snug_memory_drop_adaptive_limits(snug_memory *memory);

/* "user", "cgroup max", "host" ...: the name in reports and in JSON. */
SNUG_API const char *snug_memory_source_name(snug_memory_source source);

SNUG_END_DECLS
#endif /* SNUG_MEMORY_H */
