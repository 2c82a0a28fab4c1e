/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Image and collector are built together; a greeting between two versions is refused. */
#ifndef BIFOCAL_COMMON_VERSION_H
#define BIFOCAL_COMMON_VERSION_H

#define BIFOCAL_VERSION "0.1.0"

#endif
