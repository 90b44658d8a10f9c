# SPDX-License-Identifier: Apache-2.0
# tidy.awk - the part of tools/tidy that reads sources line by line. POSIX awk; run with LC_ALL=C, so that a
# length is counted in characters by leaving out UTF-8 continuation bytes.
#
# Reports "file:line: rule: sentence". A line may be excused from one rule by a comment on it or on the line
# before that says "tidy-allow RULE: REASON"; one that excuses nothing is reported itself.
# Variables from outside: layers, tables (paths), files (one path a line: what exists).

BEGIN {
    read_layers()
    while ((getline line < files) > 0)
        exists[line] = 1
    while ((getline line < tables) > 0)
        if (line !~ /^#/ && line != "") {
            is_table[line] = 1
            if (!(line in exists))
                print tables ":1: tables: " line " does not exist"
        }
    split("assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign " \
        "stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar " \
        "wchar wctype", names, " ")
    for (i in names)
        is_standard[names[i] ".h"] = 1

    call = "(^|[^A-Za-z0-9_.>])"
    banned = call "(strcpy|strcat|strncat|sprintf|vsprintf|atoi|atol|atoll|atof|strtok|alloca|gets) *\\("
    heap = call "(malloc|calloc|realloc|reallocarray|free|aligned_alloc|posix_memalign|strdup|strndup|" \
        "asprintf|vasprintf|getline) *\\("
    output = call "(printf|vprintf|fprintf|vfprintf|puts|fputs|putchar|perror|exit|_exit|abort|signal|" \
        "sigaction) *\\("
    closing["\""] = "[\"\\\\]"
    closing["'"] = "['\\\\]"
    unfinished = "(TO" "DO|FIX" "ME|XX" "X)"
}

function read_layers(    line, words, name, i, n)
{
    while ((getline line < layers) > 0) {
        if (line ~ /^#/ || line !~ /[^ ]/)
            continue
        n = split(line, words, " ")
        name = words[2]
        sub(/:$/, "", name)
        if (words[1] == "folder") {
            is_folder[name] = 1
            allowed[name, name] = allowed[name, "base"] = 1
            for (i = 3; i <= n; i++)
                allowed[name, words[i]] = 1
        } else if (words[1] == "public") {
            owner[name] = words[3]
        } else if (words[1] == "header") {
            is_external[name] = 1
            for (i = 3; i <= n; i++)
                external[name, words[i]] = 1
        } else {
            print layers ": layers: not understood: " line
        }
    }
}

function report(rule, sentence)
{
    if (raw ~ ("tidy-allow " rule ": [^ *]")) {
        open_allowance = 0
        return
    }
    if (previous ~ ("tidy-allow " rule ": [^ *]")) {
        previous_allowance = 0
        return
    }
    print FILENAME ":" FNR ": " rule ": " sentence
}

# The line without comments, and with its strings emptied. Follows comments over lines.
function code_of(line,    out, quote, is_closed)
{
    out = ""
    while (line != "") {
        if (in_comment) {
            if (!index(line, "*/"))
                return out
            line = substr(line, index(line, "*/") + 2)
            in_comment = 0
            out = out " "
            continue
        }
        if (!match(line, /["']|\/\*|\/\//))
            return out line
        out = out substr(line, 1, RSTART - 1)
        if (substr(line, RSTART, 2) == "//")
            return out
        if (substr(line, RSTART, 2) == "/*") {
            in_comment = 1
            line = substr(line, RSTART + 2)
            continue
        }
        quote = substr(line, RSTART, 1)
        line = substr(line, RSTART + 1)
        for (is_closed = 0; !is_closed && match(line, closing[quote]); )
            if (substr(line, RSTART, 1) == "\\") {
                line = substr(line, RSTART + 2)
            } else {
                line = substr(line, RSTART + 1)
                is_closed = 1
            }
        if (!is_closed)
            line = ""
        out = out quote quote
    }
    return out
}

# Where the file lives: a folder of src (its public header too), or the folder at the root.
function home_of(path,    parts, name)
{
    split(path, parts, "/")
    if (parts[1] == "src")
        return parts[2]
    if (parts[1] == "include") {
        name = parts[3]
        sub(/\.h$/, "", name)
        return name in owner ? owner[name] : name
    }
    return parts[1]
}

function guard_of(path,    name)
{
    name = path
    sub(/^include\/snug\//, "", name)
    gsub(/[^A-Za-z0-9]/, "_", name)
    return "SNUG_" toupper(name)
}

FNR == 1 {
    if (NR > 1)
        end_file(previous_file)
    previous_file = FILENAME
    is_c = FILENAME ~ /\.(c|h|inc|def)$/
    is_header = FILENAME ~ /\.h$/
    own_header = FILENAME
    has_header = sub(/\.c$/, ".h", own_header) && (own_header in exists) # it says what the file is
    home = home_of(FILENAME)
    is_library = FILENAME ~ /^(src|include)\//
    is_program = FILENAME ~ /^(cli|server)\//
    in_comment = has_guard = include_count = quoted_count = body_start = head_start = guard_state = 0
    open_allowance = 0
    is_raw_shebang = ($0 ~ /^#!/)
    has_spdx = 0
    previous = ""
}

{
    raw = $0
    line_count = FNR
    previous_allowance = open_allowance
    open_allowance = (raw ~ /tidy-allow [a-z-]+:/ && is_c) ? FNR : 0
    check_text()
    if (is_c)
        check_c()
    if (previous_allowance)
        print FILENAME ":" previous_allowance ": allow: this allowance excuses nothing, or gives no reason"
    previous = raw
}

END {
    if (NR > 0)
        end_file(FILENAME)
}

function end_file(path)
{
    if (open_allowance)
        print path ":" open_allowance ": allow: this allowance excuses nothing, or gives no reason"
    if (line_count > 800 && !(path in is_table))
        print path ":" line_count ": file-length: more than 800 lines; split it by what it does"
    if (is_header && !has_guard)
        print path ":1: guard: expected #ifndef " guard_of(path) " as the first directive"
    if (is_raw_shebang && !has_spdx)
        print path ":1: spdx: expected # SPDX-License-Identifier: Apache-2.0 in the first lines"
}

function check_text(    plain)
{
    if (FNR <= 3 && index(raw, "SPDX-License-Identifier: Apache-2.0"))
        has_spdx = 1
    if (FNR == 1 && is_c && raw != "/* SPDX-License-Identifier: Apache-2.0 */")
        report("spdx", "expected /* SPDX-License-Identifier: Apache-2.0 */ as the first line")
    if (FNR == 2 && is_c && raw !~ /^\/\*/ && !has_header)
        report("file-comment", "expected a comment that says what the file is")
    if (FILENAME !~ /\.md$/) {
        plain = raw
        gsub(/[\200-\277]/, "", plain)
        if (length(plain) > 110 && !(FILENAME in is_table))
            report("line-length", length(plain) " characters; 110 at most")
    }
    if (FILENAME !~ /(^|\/)Makefile$/ && index(raw, "\t"))
        report("tab", "indent with spaces")
    if (raw ~ /[ \t\r]$/)
        report("trailing-space", "the line ends in white space")
    if (raw ~ ("(^|[^A-Za-z_])" unfinished "([^A-Za-z_]|$)"))
        report("unfinished", "finish it, or file it where open work is kept")
}

function check_c(    code)
{
    code = code_of(raw)
    check_function(code)
    if (code ~ /^ *#/) {
        check_directive(code)
        if (code !~ /^ *# *define/)
            return
    }
    if (code ~ banned)
        report("banned", "this function is banned: see CONTRIBUTING.md")
    if (!is_library)
        return
    if (home != "memory" && home != "os" && code ~ heap)
        report("heap", "only memory/ and os/ call the heap; take the bytes from the ledger")
    if (code ~ output)
        report("output", "the library never prints, exits or installs a signal handler")
}

# From the line where the signature begins to the closing brace in the first column.
function check_function(code)
{
    if (code ~ /^[A-Za-z_]/) {
        if (!head_start)
            head_start = FNR
    } else if (code ~ /^\{/) {
        body_start = head_start ? head_start : FNR
    } else if (code ~ /^\}/) {
        if (body_start && FNR - body_start + 1 > 70)
            report("function-length", (FNR - body_start + 1) " lines; 70 at most")
        body_start = head_start = 0
    }
    if (!body_start && (code ~ /[;}] *$/ || code !~ /[^ ]/))
        head_start = 0
}

function check_directive(code,    name, is_angle)
{
    if (is_header && !has_guard && !guard_state) {
        guard_state = 1
        has_guard = (code == "#ifndef " guard_of(FILENAME))
        if (!has_guard && raw ~ /tidy-allow guard: [^ *]/)
            has_guard = !(open_allowance = 0)
    }
    if (is_library && home != "os") {
        if (code ~ /define +_(GNU|DEFAULT|POSIX_C|XOPEN|BSD)_?SOURCE/)
            report("system", "feature macros of the system belong to os/")
        if (code ~ /(__linux__|_WIN32|__APPLE__|__FreeBSD__|__unix__)/)
            report("system", "only os/ tells operating systems apart")
    }
    if (raw !~ /^ *# *include *[<"]/)
        return
    is_angle = raw ~ /^ *# *include *</
    name = raw
    sub(/^ *# *include *[<"]/, "", name)
    sub(/[>"].*$/, "", name)
    include_count++
    check_own_header(name, is_angle)
    if (is_library || is_program || home == "examples")
        check_layer(name, is_angle)
}

function check_own_header(name, is_angle,    own)
{
    if (has_header) {
        own = own_header
        sub(/^src\//, "", own)
        if (include_count == 1) {
            # Beside the library and the tool, a file may name its neighbour without the folder.
            if (name != own && (is_library || is_program || own !~ ("(^|/)" name "$")))
                report("own-header-first", "expected \"" own "\" as the first include")
            return
        }
    }
    # The first include may be a header of the folder that declares what is in this file.
    if (!is_angle)
        quoted_count += include_count > 1
    else if (quoted_count > 0 && (is_library || is_program))
        report("include-order", "the system's headers come before the project's")
}

function check_layer(name, is_angle,    parts, target)
{
    if (name ~ /^snug\//) {
        target = name
        sub(/^snug\//, "", target)
        sub(/\.h$/, "", target)
        if (target in owner)
            target = owner[target]
        if (is_library && FILENAME != "include/snug/snug.h" && !((home, target) in allowed))
            report("layer", home " may not include <" name ">: see tools/layers.txt")
        return
    }
    if (!is_angle) {
        split(name, parts, "/")
        target = parts[1]
        if (index(name, "/") == 0 || index(name, "../"))
            report("layer", "includes are written from src/: \"folder/file.h\"")
        else if (is_library && !((home, target) in allowed))
            report("layer", home " may not include \"" name "\": see tools/layers.txt")
        else if (home == "cli" && name == "server/server.h")
            return # what one command starts
        else if (is_program && target != home && target != "base")
            report("layer", home " may include <snug/...>, base and itself, not \"" name "\"")
        else if (home == "examples")
            report("layer", "an example sees what a user sees: <snug/...>")
        return
    }
    if (name in is_standard)
        return
    if (name in is_external) {
        if (!((name, home) in external))
            report("layer", home " may not include <" name ">: see tools/layers.txt")
    } else if (home != "os" && !is_program) {
        report("layer", "<" name "> is the operating system's: os/ is the folder for it")
    }
}
