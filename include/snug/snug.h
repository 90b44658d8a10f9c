/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snug/snug.h - all public headers.
 */
#ifndef SNUG_SNUG_H
#define SNUG_SNUG_H

#include <snug/base.h>
#include <snug/catalog.h>
#include <snug/conversation.h>
#include <snug/cpu.h>
#include <snug/hub.h>
#include <snug/kv.h>
#include <snug/memory.h>
#include <snug/model.h>
#include <snug/monitor.h>
#include <snug/plan.h>
#include <snug/pressure.h>
#include <snug/sample.h>
#include <snug/session.h>
#include <snug/text.h>
#include <snug/version.h>

#endif /* SNUG_SNUG_H */
