# Toolchain file of the preset arm64: Debian's cross compiler, the libraries that tools/arm64-sysroot has
# unpacked, and qemu-aarch64 for what is run while building and testing. QEMU_CPU=cortex-a72 in the
# environment takes an older processor than the fullest one (qemu-aarch64 -cpu help lists them).
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)

set(snug_sysroot ${CMAKE_CURRENT_LIST_DIR}/../build/arm64-sysroot)
get_filename_component(snug_sysroot ${snug_sysroot} ABSOLUTE)

if(NOT CMAKE_C_COMPILER)
    set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
endif()
# The C library is the cross compiler's own, in its own place.
set(CMAKE_FIND_ROOT_PATH ${snug_sysroot} /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)

set(ENV{PKG_CONFIG_SYSROOT_DIR} ${snug_sysroot})
set(ENV{PKG_CONFIG_LIBDIR} ${snug_sysroot}/usr/lib/aarch64-linux-gnu/pkgconfig)
set(ENV{PKG_CONFIG_PATH} "")

set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64;-L;/usr/aarch64-linux-gnu)
