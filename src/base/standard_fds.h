/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_BASE_STANDARD_FDS_H
#define WEFT_BASE_STANDARD_FDS_H

/*
 * Standard input, output and error of a program that was started with some of them closed. The next socket or file that it opens
 * would get such a number, and what is printed would be written into it.
 */

/*
 * Opens /dev/null under each of the three numbers that is closed, the wrong way round: reading standard input and writing the other
 * two fail with EBADF, as they would on the closed descriptor. A program that replaces this one finds them closed again. To be called
 * before anything else is opened. 0, or -1 with errno: a number is still closed.
 */
int base_fill_standard_fds(void);

#endif
