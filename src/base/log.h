/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_BASE_LOG_H
#define WEFT_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

/*
 * One event, one line: a message for people, then fields for programs.
 *
 *	log_info("sandbox registered", F_STR("sandbox", id), F_UINT("slot", slot));
 *	-> level=info msg="sandbox registered" sandbox=a1 slot=7
 *
 * The field `sandbox` is always there where one is concerned. All functions may be called from any thread; a line is written
 * with one system call and never mixes with another's.
 *
 * Between log_start() and log_stop() a thread writes, so that no caller waits for the log's reader. Lines that find no room in its
 * queue are lost; a line tells how many, and since when. Lines are in the order of the calls.
 */

struct err;

enum log_level {
	LOG_DEBUG_LEVEL,   /* for developers: normal ends of connections, each kernel message */
	LOG_INFO_LEVEL,    /* for operators in a quiet hour: changes, abnormal ends */
	LOG_WARNING_LEVEL, /* it works, but somebody should look */
	LOG_ERROR_LEVEL,   /* a request was not fulfilled */
};

enum log_format {
	LOG_TEXT_FORMAT, /* key=value */
	LOG_JSON_FORMAT, /* one JSON object a line */
};

enum log_target {
	LOG_TO_STDERR,  /* with a time stamp */
	LOG_TO_JOURNAL, /* fields as journal fields; falls back to syslog(3) where there is no journal */
};

struct log_field {
	const char *key; /* NULL ends the list */
	enum { LOG_FIELD_STRING, LOG_FIELD_INT, LOG_FIELD_UINT, LOG_FIELD_SOME /* left out while 0 */ } type;
	union {
		const char *string; /* NULL fields are left out */
		int64_t integer;
		uint64_t natural;
	};
};

#define F_STR(name, value)                                                                                             \
	{                                                                                                              \
		.key = (name), .type = LOG_FIELD_STRING, .string = (value)                                             \
	}
#define F_INT(name, value)                                                                                             \
	{                                                                                                              \
		.key = (name), .type = LOG_FIELD_INT, .integer = (value)                                               \
	}
#define F_UINT(name, value)                                                                                            \
	{                                                                                                              \
		.key = (name), .type = LOG_FIELD_UINT, .natural = (value)                                              \
	}
#define F_SOME(name, value)                                                                                            \
	{                                                                                                              \
		.key = (name), .type = LOG_FIELD_SOME, .natural = (value)                                              \
	}

#ifdef __cppcheck__ /* which does not know __VA_OPT__ */
#define log_at(level, message, ...) log_write((level), (message), NULL)
#define log_debug(message, ...)     log_at(LOG_DEBUG_LEVEL, message)
#define log_info(message, ...)      log_at(LOG_INFO_LEVEL, message)
#define log_warning(message, ...)   log_at(LOG_WARNING_LEVEL, message)
#define log_error(message, ...)     log_at(LOG_ERROR_LEVEL, message)
#else
#define log_at(level, message, ...)                                                                                    \
	do {                                                                                                           \
		if (log_enabled(level))                                                                                \
			log_write((level), (message), (const struct log_field[]){ __VA_ARGS__ __VA_OPT__(, ){ 0 } });  \
	} while (0)

#define log_debug(message, ...)   log_at(LOG_DEBUG_LEVEL, message __VA_OPT__(, ) __VA_ARGS__)
#define log_info(message, ...)    log_at(LOG_INFO_LEVEL, message __VA_OPT__(, ) __VA_ARGS__)
#define log_warning(message, ...) log_at(LOG_WARNING_LEVEL, message __VA_OPT__(, ) __VA_ARGS__)
#define log_error(message, ...)   log_at(LOG_ERROR_LEVEL, message __VA_OPT__(, ) __VA_ARGS__)
#endif

/*
 * Sets the log's level, form and target; may be called again (reload). Until the first call: info and above, text, stderr. Main
 * thread.
 */
void log_setup(enum log_level level, enum log_format format, enum log_target target);

/*
 * Starts the thread that writes, and catches the signals of faults (base/log_crash.h). Before this call lines are written by the
 * callers, who wait for the reader. 0, or -1 with ERR. Main thread.
 */
int log_start(struct err *err);

/*
 * Waits a second at most until all is written, and ends the thread. If the reader still stands still then, the lines that are left
 * are lost, and all later ones. Main thread; nothing without log_start().
 */
void log_stop(void);

/* How many lines were lost. */
uint64_t log_lost(void);

/* Writes TEXT, whole lines, to stderr beside the log if stderr takes it at once, and says whether it did. At most PIPE_BUF bytes. */
bool log_offer_stderr(const char *text);

/* Whether a message of LEVEL would be written: cheap, so that callers need not prepare fields in vain. */
bool log_enabled(enum log_level level);

/* Writes one line. Use the macros. FIELDS ends with a NULL key. Preserves errno. */
void log_write(enum log_level level, const char *message, const struct log_field *fields);

/*
 * Keeps a message that an adversary, or a trouble that stays, can provoke from flooding the log: for each sandbox at most BURST lines in
 * INTERVAL_MS. What was swallowed is told within a minute on a line of its own, with the sandbox, the message (`of`) and the
 * number (`suppressed`); base/log_limit.h. Static storage: lines are counted by the limit's address.
 */
struct log_limit {
	unsigned burst;
	unsigned interval_ms;
};

/*
 * Whether MESSAGE, a literal, may be written now about SANDBOX; NULL: about none. If so, it counts as written. For callers who have work to
 * do for its fields. Any thread.
 */
bool log_limit_allows(const struct log_limit *limit, enum log_level level, const char *message, const char *sandbox);

/* log_write() within LIMIT, for the sandbox or else the slot that FIELDS name. Any thread. Use the macros. */
void log_write_limited(const struct log_limit *limit, enum log_level level, const char *message,
		       const struct log_field *fields);

#define log_limited(limit, level, message, ...)                                                                        \
	log_write_limited((limit), (level), (message), (const struct log_field[]){ __VA_ARGS__, { 0 } })

/* For events that repeat, on thousands of objects: of each sandbox five lines a minute. At least one field. */
#define log_seldom(level, message, ...)                                                                                \
	do {                                                                                                           \
		static const struct log_limit limit_ = { .burst = 5, .interval_ms = 60000 };                           \
		log_limited(&limit_, level, message, __VA_ARGS__);                                                     \
	} while (0)

#endif
