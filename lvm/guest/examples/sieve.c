/* Sieve of Eratosthenes.
 *
 * INPUT:  two decimal numbers: the limit N (at most 16,777,216) and, optionally, how often to sieve (default 1;
 *         `1000000 110` is about a billion steps).
 * OUTPUT: "COUNT LARGEST\n": how many primes are below N, and the largest of them (0 if there is none).
 * exit code: 0; 1 malformed input; 2 N too large.
 */
#include "lvm.h"

#define LIMIT_MAX 16777216u

static LVM_PERSISTENT uint8_t composite[LIMIT_MAX];

/* Read a decimal number at *position, skipping white space before it. Returns 1, 0 at the end, -1 if malformed. */
static int read_decimal(uint32_t *position, uint32_t *value)
{
    uint32_t at = *position;
    while (at < lvm_input.length && (lvm_input.bytes[at] == ' ' || lvm_input.bytes[at] == '\n'))
        at++;
    *position = at;
    if (at == lvm_input.length)
        return 0;
    uint32_t number = 0;
    while (at < lvm_input.length && (uint8_t)(lvm_input.bytes[at] - '0') < 10) {
        uint32_t digit = lvm_input.bytes[at++] - '0';
        if (number > (UINT32_MAX - digit) / 10)
            return -1;
        number = 10 * number + digit;
    }
    if (at == *position)
        return -1;
    *position = at;
    *value = number;
    return 1;
}

static void sieve(uint32_t limit)
{
    memset(composite, 0, limit);
    for (uint32_t p = 2; p * p < limit; p++)
        if (!composite[p])
            for (uint32_t multiple = p * p; multiple < limit; multiple += p)
                composite[multiple] = 1;
}

int main(void)
{
    uint32_t position = 0, limit, rounds = 1, extra;
    if (read_decimal(&position, &limit) != 1)
        return 1;
    if (read_decimal(&position, &rounds) < 0 || read_decimal(&position, &extra) != 0)
        return 1;
    if (limit > LIMIT_MAX)
        return 2;

    for (uint32_t round = 0; round < rounds; round++) {
        sieve(limit);
        __asm__ volatile("" ::: "memory");          /* every round is real work, none may be merged with the last */
    }
    uint32_t count = 0, largest = 0;
    for (uint32_t n = 2; n < limit && rounds != 0; n++)
        if (!composite[n]) {
            count++;
            largest = n;
        }
    lvm_write_decimal(count);
    lvm_write(" ", 1);
    lvm_write_decimal(largest);
    return lvm_write("\n", 1);
}
