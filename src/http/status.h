/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_HTTP_STATUS_H
#define WEFT_HTTP_STATUS_H

/* "Not Found" for 404; "Unknown" for a status that weftd never answers with. Static text; any thread. */
const char *http_status_reason(int status);

#endif
