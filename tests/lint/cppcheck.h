/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For cppcheck alone, which sees no system headers: macros of libraries that are part of the grammar of our sources. */
#define json_array_foreach(array, index, value)                                                                        \
	for (index = 0; index < json_array_size(array) && (value = json_array_get(array, index)); index++)
#define json_object_foreach(object, key, value)                                                                        \
	for (key = json_object_iter_key(json_object_iter(object)); key && (value = json_object_get(object, key));      \
	     key = json_object_iter_key(json_object_iter_next(object, json_object_key_to_iter(key))))
#define json_object_foreach_safe(object, next, key, value) json_object_foreach(object, key, value)
