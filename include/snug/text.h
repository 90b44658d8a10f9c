/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snug/text.h - text to token ids and back, and conversations to prompts, as the model's own files say.
 *
 * A snug_text holds a tokenizer (vocabulary, merges, normalizer, pre-tokenizer, added tokens) and the chat
 * template. Its tables are a few megabytes, charged to the ledger as "text".
 *
 * Text is UTF-8. What is not valid UTF-8 is refused with the position of the first wrong byte.
 * Threads: encode, decode and the chat template may run on several threads of one snug_text at a time.
 */
#ifndef SNUG_TEXT_H
#define SNUG_TEXT_H

#include <snug/memory.h>

SNUG_BEGIN_DECLS

typedef struct snug_text snug_text;

/*
 * Read the tokenizer of the checkpoint at `path` (the folder or file that snug_model_open() takes).
 * Errors: IO, CORRUPT, UNSUPPORTED (a tokenizer kind this build does not know, by name), OVER_LIMIT.
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_text_open(snug_text **text_out, snug_memory *memory,
                                                    const char *path, snug_error *error);
/* The same of the files of an open model (snug_model_files()), which are not read and checked again. */
typedef struct snug_checkpoint snug_checkpoint;
SNUG_API SNUG_MUST_CHECK snug_status snug_text_open_files(snug_text **text_out, snug_memory *memory,
                                                          const snug_checkpoint *files, snug_error *error);
SNUG_API void snug_text_close(snug_text *text);

/* Bytes the ledger will be charged for it, at most for a moment while it is read: no memory is taken to
 * know. */
SNUG_API SNUG_MUST_CHECK snug_status snug_text_estimate_path(uint64_t *bytes_out, snug_memory *memory,
                                                             const char *path, snug_error *error);

/* One more than the highest id that has a piece. */
SNUG_API uint32_t snug_text_id_count(const snug_text *text);

#define SNUG_ID_NONE UINT32_MAX

/* Ids named by the files, or SNUG_ID_NONE. */
SNUG_API uint32_t snug_text_bos_id(const snug_text *text);
SNUG_API uint32_t snug_text_eos_id(const snug_text *text);

/* The id of exactly this piece or added token ("<|im_end|>"), or SNUG_ID_NONE. */
SNUG_API uint32_t snug_text_find(const snug_text *text, const char *piece);

/* --- encoding ------------------------------------------------------------------------------------------ */

/* Flags of snug_text_encode(). Default: special tokens in the text become their ids, and none is added. */
enum {
    SNUG_ENCODE_ADD_SPECIAL = 1u << 0,      /* apply the post-processor: BOS and the like */
    SNUG_ENCODE_NO_PARSE_SPECIAL = 1u << 1, /* read special tokens in the text as plain text */
    SNUG_ENCODE_GUARDED = 1u << 2,          /* text of snug_text_chat() with guards_tokens */
};

/* Ids enough for any text of that many bytes. */
SNUG_API size_t snug_text_encode_bound(const snug_text *text, size_t bytes);

/*
 * Encode `bytes` bytes into at most `capacity` ids. Cost: n log n; a megabyte takes well under a second.
 * Errors: ARGUMENT (not UTF-8: the sentence names the byte), FULL (capacity), OVER_LIMIT, CORRUPT (the
 * tokenizer's own pattern takes too long on this text).
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_text_encode(const snug_text *text, uint32_t *ids_out,
                                                      size_t capacity, size_t *count_out, const char *utf8,
                                                      size_t bytes, unsigned flags, snug_error *error);

/* --- decoding ------------------------------------------------------------------------------------------ */

/* The piece of an id as stored in the vocabulary ("Ġcat"), not terminated; NULL and 0 bytes when the id
 * has none. */
SNUG_API const char *snug_text_piece(const snug_text *text, uint32_t id, size_t *bytes_out);

enum {
    SNUG_DECODE_SKIP_SPECIAL = 1u << 0, /* leave out tokens marked special */
};

/*
 * Decode ids into `out` (not terminated). Bytes that are not valid UTF-8 become U+FFFD as the tokenizer's
 * decoder does it. `*bytes_out` is the whole length even when `capacity` is smaller (status FULL then).
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_text_decode(const snug_text *text, char *out, size_t capacity,
                                                      size_t *bytes_out, const uint32_t *ids, size_t count,
                                                      unsigned flags);

/*
 * A streaming decoder: ids in, complete UTF-8 out. It holds back what may still become a character.
 * Embedded, no allocation; the concatenation of all output equals snug_text_decode() of all ids.
 */
typedef struct snug_decoder {
    const snug_text *text;
    unsigned flags;
    unsigned held;   /* bytes in `hold` */
    bool is_started; /* something was put out: leading-space rules no longer apply */
    unsigned char hold[8];
} snug_decoder;

SNUG_API void snug_decoder_init(snug_decoder *decoder, const snug_text *text, unsigned flags);

/* Most bytes one push or finish can write. */
SNUG_API size_t snug_decoder_bound(const snug_text *text);

/* Take one id; write what is complete to `out` (snug_decoder_bound() bytes). Returns the number of bytes. */
SNUG_API size_t snug_decoder_push(snug_decoder *decoder, uint32_t id, char *out);
/* No more ids: write what was held back (as U+FFFD). */
SNUG_API size_t snug_decoder_finish(snug_decoder *decoder, char *out);

/* --- conversations ------------------------------------------------------------------------------------- */

typedef struct snug_message {
    const char *role;    /* "system", "user", "assistant", "tool" */
    const char *content; /* UTF-8, terminated */
} snug_message;

typedef struct snug_chat_options {
    size_t struct_size;
    bool no_generation_prompt; /* leave out the opening of the assistant's answer */
    /*
     * Special tokens that stand in a message stay text: a message cannot forge a turn. They are marked in the
     * rendered text by U+FDD0, a character that text does not have; encode it with SNUG_ENCODE_GUARDED, which
     * takes the marks out again.
     */
    bool guards_tokens;
    /*
     * A JSON object of more template variables (tools, enable_thinking ...); they come last, so that
     * `messages` in it replaces the messages given. NULL: none.
     */
    const char *variables_json;
    /* The local time that strftime_now() shows, seconds since 1970; 0: the template sees no clock. */
    int64_t now_unix;
    /* The beginning of the assistant's answer, put behind its opening as it stands; NULL: none. It is text of
     * a model: with guards_tokens special tokens in it stay text, too. */
    const char *answer_begun;
} snug_chat_options;

/* Whether the model has a chat template that could be read; `error` (may be NULL) says why not. */
SNUG_API bool snug_text_has_chat(const snug_text *text, snug_error *error);

/*
 * Use this template (Jinja, `bytes` of UTF-8) in place of the model's from now on; on failure nothing
 * changed. Not while another thread uses `text`. Errors: CORRUPT and UNSUPPORTED with the line, OVER_LIMIT.
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_text_set_chat_template(snug_text *text, const char *source,
                                                                 size_t bytes, snug_error *error);

/*
 * Render a conversation by the model's chat template into a new, terminated string (*rendered_out,
 * *bytes_out), to be released with snug_text_free_string(). Encode it without ADD_SPECIAL: the template
 * writes its own BOS. Errors: UNSUPPORTED (no template), CORRUPT (the template is wrong or raised: its own
 * words), OVER_LIMIT.
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_text_chat(const snug_text *text, char **rendered_out,
                                                    size_t *bytes_out, const snug_message *messages,
                                                    size_t message_count, const snug_chat_options *options,
                                                    snug_error *error);
SNUG_API void snug_text_free_string(const snug_text *text, char *string);

SNUG_END_DECLS
#endif /* SNUG_TEXT_H */
