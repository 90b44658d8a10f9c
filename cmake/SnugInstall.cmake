# `cmake --install`: libraries, headers, pkg-config file, CMake package. cli/ installs the tool and its pages.
include(CMakePackageConfigHelpers)

set(snug_package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/snug)
install(TARGETS snug snug_shared EXPORT snug-targets FILE_SET HEADERS)
install(EXPORT snug-targets NAMESPACE snug:: DESTINATION ${snug_package_folder})
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/snug-config.cmake.in
    ${PROJECT_BINARY_DIR}/snug-config.cmake INSTALL_DESTINATION ${snug_package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/snug-config-version.cmake
    COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/snug-config.cmake ${PROJECT_BINARY_DIR}/snug-config-version.cmake
    DESTINATION ${snug_package_folder})

# The pkg-config file finds its prefix from where it lies, so that an installed tree can be moved.
file(RELATIVE_PATH snug_pc_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(${PROJECT_SOURCE_DIR}/cmake/snug.pc.in ${PROJECT_BINARY_DIR}/snug.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/snug.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
