# How every target of this project is compiled, and the one place where instruction-set flags are given.

function(snug_compile_options target)
    set_target_properties(${target} PROPERTIES C_STANDARD 11 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF
        C_VISIBILITY_PRESET hidden)
    target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion
        -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef -Wcast-qual -Wpointer-arith -Wwrite-strings
        -fno-math-errno -ffp-contract=off)
endfunction()

# Sources of the library, relative to the folder's own CMakeLists.txt.
function(snug_sources)
    list(TRANSFORM ARGN PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/ OUTPUT_VARIABLE files)
    target_sources(snug_objects PRIVATE ${files})
endfunction()

# The same, compiled for an instruction set: snug_isa_sources("-mavx2;-mfma" a.c b.c). Only kernels/ uses it.
function(snug_isa_sources flags)
    list(TRANSFORM ARGN PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/ OUTPUT_VARIABLE files)
    target_sources(snug_objects PRIVATE ${files})
    # GCC 12 aligns the fake frames of detect_stack_use_after_return to less than what it then stores
    # there with 64 bytes at a time (PR 110027): a crash of the sanitizer's own. Without -fsanitize no effect.
    # The fuzzers read files, templates and requests: with both sanitizers and coverage these sources would
    # take them six minutes to compile, for nothing they run. The tests run them under the sanitizers.
    set(plain)
    if(SNUG_FUZZ)
        set(plain -fno-sanitize=all)
    endif()
    set_source_files_properties(${files} TARGET_DIRECTORY snug_objects PROPERTIES COMPILE_OPTIONS
        "${flags};-falign-functions=64;$<$<C_COMPILER_ID:GNU>:--param=asan-use-after-return=0>;${plain}")
endfunction()

# What the static and the shared library have in common: the objects, the public headers, what they link.
# Every public header is listed here, and compiled alone by the target all_verify_interface_header_sets.
function(snug_library target)
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:snug_objects>
        PUBLIC FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/include FILES
        ${PROJECT_SOURCE_DIR}/include/snug/base.h
        ${PROJECT_SOURCE_DIR}/include/snug/catalog.h
        ${PROJECT_SOURCE_DIR}/include/snug/conversation.h
        ${PROJECT_SOURCE_DIR}/include/snug/cpu.h
        ${PROJECT_SOURCE_DIR}/include/snug/hub.h
        ${PROJECT_SOURCE_DIR}/include/snug/kv.h
        ${PROJECT_SOURCE_DIR}/include/snug/memory.h
        ${PROJECT_SOURCE_DIR}/include/snug/model.h
        ${PROJECT_SOURCE_DIR}/include/snug/monitor.h
        ${PROJECT_SOURCE_DIR}/include/snug/plan.h
        ${PROJECT_SOURCE_DIR}/include/snug/pressure.h
        ${PROJECT_SOURCE_DIR}/include/snug/sample.h
        ${PROJECT_SOURCE_DIR}/include/snug/session.h
        ${PROJECT_SOURCE_DIR}/include/snug/snug.h
        ${PROJECT_SOURCE_DIR}/include/snug/text.h
        ${PROJECT_SOURCE_DIR}/include/snug/version.h)
    target_link_libraries(${target} PRIVATE Threads::Threads PkgConfig::PCRE2 PkgConfig::UTF8PROC m
        ${CMAKE_DL_LIBS})
    set_target_properties(${target} PROPERTIES LINKER_LANGUAGE C VERIFY_INTERFACE_HEADER_SETS ON)
endfunction()

# One test program: snug_test(test_json test_json.c). It sees internal headers and links everything.
function(snug_test name)
    add_executable(${name} ${ARGN})
    target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR})
    target_link_libraries(${name} PRIVATE snug Threads::Threads PkgConfig::CMOCKA PkgConfig::JANSSON m)
    snug_compile_options(${name})
    target_compile_definitions(${name} PRIVATE
        SNUG_SOURCE_FOLDER="${PROJECT_SOURCE_DIR}" SNUG_SHARED_FOLDER="${PROJECT_SOURCE_DIR}/../shared")
    add_test(NAME ${name} COMMAND ${name})
    # A test that cannot run calls cmocka's skip(); tools/run-tests counts and names those. The label is the
    # folder: `ctest -L kv`.
    get_filename_component(folder ${CMAKE_CURRENT_SOURCE_DIR} NAME)
    set_tests_properties(${name} PROPERTIES TIMEOUT 600 LABELS ${folder})
endfunction()
