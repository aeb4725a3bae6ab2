/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-rng (virtio 1.2 5.4): random bytes for a guest. */
#pragma once

#include "mgmt/virtio/backend.h"

struct virtio_device *rng_add(uint32_t slot, uint32_t idx);
