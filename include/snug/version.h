/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snug/version.h - the version, in one place: CMake, `llm-tool --version` and the man page read it here.
 */
#ifndef SNUG_VERSION_H
#define SNUG_VERSION_H

#define SNUG_VERSION_MAJOR 0
#define SNUG_VERSION_MINOR 1
#define SNUG_VERSION_PATCH 0
#define SNUG_VERSION_TEXT  "0.1.0"

#endif /* SNUG_VERSION_H */
