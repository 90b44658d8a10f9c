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
    set_source_files_properties(${files} TARGET_DIRECTORY snug_objects PROPERTIES COMPILE_OPTIONS "${flags}")
endfunction()

# One test program: snug_test(test_json test_json.c). It sees internal headers and links everything.
function(snug_test name)
    add_executable(${name} ${ARGN})
    target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR})
    target_link_libraries(${name} PRIVATE snug PkgConfig::CMOCKA PkgConfig::JANSSON)
    snug_compile_options(${name})
    target_compile_definitions(${name} PRIVATE
        SNUG_SOURCE_FOLDER="${CMAKE_SOURCE_DIR}" SNUG_SHARED_FOLDER="${CMAKE_SOURCE_DIR}/../shared")
    add_test(NAME ${name} COMMAND ${name})
    # cmocka has no exit status for "skipped": a test that could not run prints this word and is shown as skipped.
    set_tests_properties(${name} PROPERTIES TIMEOUT 600)
endfunction()
