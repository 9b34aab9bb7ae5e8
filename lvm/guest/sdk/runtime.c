/* The part of the SDK that is C: output, and the memory functions a freestanding compiler relies on. */
#include "lvm.h"

int lvm_write(const void *data, size_t length)
{
    uint32_t used = lvm_output.length;
    if (length > LVM_AREA_MAX - used)
        return -1;
    memcpy(lvm_output.bytes + used, data, length);
    lvm_output.length = used + length;
    return 0;
}

int lvm_write_decimal(uint32_t value)
{
    char digits[10];
    size_t first = sizeof digits;
    do {
        digits[--first] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    return lvm_write(digits + first, sizeof digits - first);
}

void *memcpy(void *restrict to, const void *restrict from, size_t length)
{
    uint8_t *target = to;
    const uint8_t *source = from;
    if ((((uintptr_t)target | (uintptr_t)source) & 3) == 0)
        for (; length >= 4; length -= 4, target += 4, source += 4)
            *(uint32_t *)target = *(const uint32_t *)source;
    while (length-- != 0)
        *target++ = *source++;
    return to;
}

void *memset(void *to, int value, size_t length)
{
    uint8_t *target = to;
    while (length != 0 && ((uintptr_t)target & 3) != 0) {
        *target++ = (uint8_t)value;
        length--;
    }
    for (uint32_t word = (uint8_t)value * 0x01010101u; length >= 4; length -= 4, target += 4)
        *(uint32_t *)target = word;
    while (length-- != 0)
        *target++ = (uint8_t)value;
    return to;
}

int memcmp(const void *left, const void *right, size_t length)
{
    const uint8_t *a = left, *b = right;
    for (; length != 0; length--, a++, b++)
        if (*a != *b)
            return *a - *b;
    return 0;
}
