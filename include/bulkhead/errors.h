/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Error codes, shared by the kernel, the domains and the protocols between them.
 * A call that can fail returns one of these (negative) or a value that is zero or greater.
 */
#pragma once

enum bh_error {
	BH_OK = 0,
	BH_ERR_INVALID = -1,      /* an argument is malformed or out of range */
	BH_ERR_HANDLE = -2,       /* no such handle, or it names another type of object */
	BH_ERR_RIGHTS = -3,       /* the handle lacks the right that the call needs */
	BH_ERR_ADDRESS = -4,      /* a pointer or address range is not accessible */
	BH_ERR_MEMORY = -5,       /* no free memory of the size and alignment asked for */
	BH_ERR_QUOTA = -6,        /* the domain's quota is used up */
	BH_ERR_BUSY = -7,         /* the object is in use in a way that excludes this */
	BH_ERR_EXISTS = -8,       /* the slot, name or range is already taken */
	BH_ERR_NOT_FOUND = -9,    /* the thing named does not exist */
	BH_ERR_STATE = -10,       /* the object is not in the state that the call needs */
	BH_ERR_LIMIT = -11,       /* a fixed limit (table size, count) is reached */
	BH_ERR_TIMEOUT = -12,     /* the time limit passed */
	BH_ERR_AGAIN = -13,       /* part of the work is done: call again for the rest */
	BH_ERR_DEAD = -14,        /* the object's owner has died */
	BH_ERR_UNSUPPORTED = -15, /* this machine or this build cannot do it */
	BH_ERR_FORMAT = -16,      /* an image, table or text does not have the right form */
	BH_ERR_CALL = -17,        /* no such call number */
};
