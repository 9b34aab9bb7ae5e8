/* The guest's view of LVM: input, output, exit. No libc is needed or assumed.
 *
 * INPUT and OUTPUT look alike: a little-endian 32-bit byte count, then that many bytes. INPUT is read-only (a
 * store to it is a fault). OUTPUT is ordinary memory at a fixed address, and, like INPUT, one height-16 subtree of
 * the state tree, so a result can be proven against a state root. A run is accepted when it exits with code 0.
 */
#ifndef LVM_H
#define LVM_H

#include <stddef.h>
#include <stdint.h>

#define LVM_AREA_BYTES 0x400000u                    /* INPUT and OUTPUT are 4 MiB each ...           */
#define LVM_AREA_MAX (LVM_AREA_BYTES - 4u)          /* ... of which the first word holds the length. */

/* Memory that boot leaves alone: zero in the first run, afterwards what the run before left there. For state that
 * outlives a run, and for large buffers a program fills before it reads them. All other variables without an
 * initialiser are zero at the start of every run; variables with one have that value in the first run only. */
#define LVM_PERSISTENT __attribute__((section(".bss.persistent")))

struct lvm_area {
    uint32_t length;
    uint8_t bytes[LVM_AREA_MAX];
};

extern const struct lvm_area lvm_input;             /* placed by the linker script */
extern struct lvm_area lvm_output;

/* Append to OUTPUT. Returns 0, or -1 (and appends nothing) if the bytes do not fit. */
int lvm_write(const void *data, size_t length);

/* Append an unsigned number in decimal. Returns as lvm_write. */
int lvm_write_decimal(uint32_t value);

/* End the run. Returning from main does the same with main's value. */
_Noreturn void lvm_exit(uint32_t code);

int main(void);

/* What a freestanding C compiler may call on its own. */
void *memcpy(void *restrict to, const void *restrict from, size_t length);
void *memset(void *to, int value, size_t length);
int memcmp(const void *left, const void *right, size_t length);

#endif
