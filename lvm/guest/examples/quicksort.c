/* Quicksort of a file of integers.
 *
 * INPUT:  decimal integers of 32 bits (-2147483648 .. 2147483647) separated by spaces or line ends.
 * OUTPUT: the same integers in ascending order, one a line; for malformed input the byte offset of what is wrong.
 * exit code: 0; 1 malformed input; 2 the sorted list does not fit OUTPUT.
 */
#include "lvm.h"

#define NUMBERS_MAX (LVM_AREA_MAX / 2 + 1)          /* a digit and a separator each */
#define SMALL 12                                    /* ranges up to this length are left to insertion sort */

static LVM_PERSISTENT int32_t numbers[NUMBERS_MAX];

static int is_space(uint8_t c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* Parse INPUT into numbers. Returns how many, or -1 with *wrong = offset of the first malformed integer. */
static int32_t parse(uint32_t *wrong)
{
    const uint8_t *text = lvm_input.bytes;
    uint32_t length = lvm_input.length, at = 0;
    int32_t count = 0;
    for (;;) {
        while (at < length && is_space(text[at]))
            at++;
        if (at == length)
            return count;
        *wrong = at;
        int negative = text[at] == '-';
        at += (uint32_t)negative;
        uint32_t first = at, magnitude = 0, most = 2147483647u + (uint32_t)negative;
        for (; at < length && !is_space(text[at]); at++) {
            uint32_t digit = (uint32_t)text[at] - '0';
            if (digit > 9 || magnitude > (most - digit) / 10)
                return -1;
            magnitude = 10 * magnitude + digit;
        }
        if (at == first)
            return -1;
        numbers[count++] = (int32_t)(negative ? -magnitude : magnitude);
    }
}

static void swap(int32_t *a, int32_t *b)
{
    int32_t kept = *a;
    *a = *b;
    *b = kept;
}

static void insertion_sort(int32_t *low, int32_t *high)
{
    for (int32_t *next = low + 1; next <= high; next++) {
        int32_t value = *next, *hole = next;
        for (; hole > low && hole[-1] > value; hole--)
            *hole = hole[-1];
        *hole = value;
    }
}

/* Hoare partition around the median of three: afterwards [low, result] <= pivot <= [result + 1, high]. */
static int32_t *partition(int32_t *low, int32_t *high)
{
    int32_t *middle = low + (high - low) / 2;
    if (*middle < *low)
        swap(middle, low);
    if (*high < *low)
        swap(high, low);
    if (*high < *middle)
        swap(high, middle);
    int32_t pivot = *middle, *left = low - 1, *right = high + 1;
    for (;;) {
        while (*++left < pivot)
            ;
        while (*--right > pivot)
            ;
        if (left >= right)
            return right;
        swap(left, right);
    }
}

/* Recursion only into the shorter part, so the stack stays logarithmic whatever the input. */
static void quicksort(int32_t *low, int32_t *high)
{
    while (high - low >= SMALL) {
        int32_t *end = partition(low, high);
        if (end - low < high - end) {
            quicksort(low, end);
            low = end + 1;
        } else {
            quicksort(end + 1, high);
            high = end;
        }
    }
    insertion_sort(low, high);
}

int main(void)
{
    uint32_t wrong = 0;
    int32_t count = parse(&wrong);
    if (count < 0) {
        lvm_write_decimal(wrong);
        return 1;
    }
    if (count > 0)
        quicksort(numbers, numbers + count - 1);
    for (int32_t i = 0; i < count; i++) {
        uint32_t magnitude = (uint32_t)numbers[i];
        int failed = 0;
        if (numbers[i] < 0) {
            failed = lvm_write("-", 1);
            magnitude = -magnitude;
        }
        if (failed || lvm_write_decimal(magnitude) || lvm_write("\n", 1))
            return 2;
    }
    return 0;
}
