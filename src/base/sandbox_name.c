/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/sandbox_name.h"

static bool base_name_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool base_name_is_valid(const char *text, size_t length)
{
	if (length == 0 || length > BASE_NAME_MAX || !base_name_letter(text[0]))
		return false;
	for (size_t i = 1; i < length; i++) {
		if (!base_name_letter(text[i]) && text[i] != '_' && text[i] != '.' && text[i] != '-')
			return false;
	}
	return true;
}
