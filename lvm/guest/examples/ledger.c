/* A token ledger: opening balances, then transfers, applied in order; the first wrong line rejects the whole file.
 *
 * INPUT, a line each (empty lines and lines that begin with '#' are skipped):
 *     open NAME AMOUNT         a new account
 *     pay FROM TO AMOUNT       a transfer
 * NAME: 1 to 15 printable ASCII characters without space. AMOUNT: decimal, below 2^32. One space between words.
 *
 * The opening balances together must stay below 2^32, and a transfer keeps that sum, so no balance can overflow.
 *
 * OUTPUT: "NAME BALANCE\n" for each account in the order they were opened; nothing if the file is rejected.
 * exit code: 0 accepted, else 256 * LINE + REASON with LINE counted from 1 and REASON one of the values below.
 */
#include "lvm.h"

enum reason {
    ACCEPTED = 0,
    MALFORMED = 1,
    OVERDRAFT = 2,
    UNKNOWN_ACCOUNT = 3,
    ACCOUNT_EXISTS = 4,
    SUPPLY_OVERFLOW = 5,
    TOO_MANY_ACCOUNTS = 6,
    OUTPUT_FULL = 7,
};

#define NAME_BYTES 16                               /* zero padded */
#define SLOTS 8192u                                 /* of the hash table; a power of two */
#define ACCOUNTS_MAX (SLOTS / 2)

struct account {
    char name[NAME_BYTES];
    uint32_t balance;
};

struct cursor {
    const uint8_t *at, *end;
};

static LVM_PERSISTENT struct account accounts[ACCOUNTS_MAX];
static uint32_t account_count;
static uint32_t supply;
static uint32_t slots[SLOTS];                       /* index of an account plus one, 0 where free */

/* The slot that holds the name, or the free one where it belongs (FNV-1a, linear probing). */
static uint32_t *find_slot(const char name[NAME_BYTES])
{
    uint32_t hash = 2166136261u;
    for (int i = 0; i < NAME_BYTES && name[i] != 0; i++)
        hash = (hash ^ (uint8_t)name[i]) * 16777619u;
    uint32_t slot = (hash ^ hash >> 16) % SLOTS;
    while (slots[slot] != 0 && memcmp(accounts[slots[slot] - 1].name, name, NAME_BYTES) != 0)
        slot = (slot + 1) % SLOTS;
    return &slots[slot];
}

static struct account *find_account(const char name[NAME_BYTES])
{
    uint32_t number = *find_slot(name);
    return number == 0 ? NULL : &accounts[number - 1];
}

static int take_word(struct cursor *line, const char *word)
{
    const uint8_t *at = line->at;
    for (; *word != 0; word++, at++)
        if (at == line->end || *at != (uint8_t)*word)
            return 0;
    line->at = at;
    return 1;
}

static int take_name(struct cursor *line, char name[NAME_BYTES])
{
    memset(name, 0, NAME_BYTES);
    int length = 0;
    while (line->at != line->end && *line->at > ' ' && *line->at <= '~') {
        if (length == NAME_BYTES - 1)
            return 0;
        name[length++] = (char)*line->at++;
    }
    return length != 0 && take_word(line, " ");
}

/* The amount is the last word: it must reach the end of the line. */
static int take_amount(struct cursor *line, uint32_t *amount)
{
    uint32_t value = 0;
    if (line->at == line->end)
        return 0;
    for (; line->at != line->end; line->at++) {
        uint32_t digit = (uint32_t)*line->at - '0';
        if (digit > 9 || value > (UINT32_MAX - digit) / 10)
            return 0;
        value = 10 * value + digit;
    }
    *amount = value;
    return 1;
}

static enum reason open_account(struct cursor *line)
{
    char name[NAME_BYTES];
    uint32_t amount;
    if (!take_name(line, name) || !take_amount(line, &amount))
        return MALFORMED;
    uint32_t *slot = find_slot(name);
    if (*slot != 0)
        return ACCOUNT_EXISTS;
    if (account_count == ACCOUNTS_MAX)
        return TOO_MANY_ACCOUNTS;
    if (amount > UINT32_MAX - supply)
        return SUPPLY_OVERFLOW;
    supply += amount;
    struct account *account = &accounts[account_count++];
    memcpy(account->name, name, NAME_BYTES);
    account->balance = amount;
    *slot = account_count;
    return ACCEPTED;
}

static enum reason pay(struct cursor *line)
{
    char from_name[NAME_BYTES], to_name[NAME_BYTES];
    uint32_t amount;
    if (!take_name(line, from_name) || !take_name(line, to_name) || !take_amount(line, &amount))
        return MALFORMED;
    struct account *from = find_account(from_name), *to = find_account(to_name);
    if (from == NULL || to == NULL)
        return UNKNOWN_ACCOUNT;
    if (from->balance < amount)
        return OVERDRAFT;
    from->balance -= amount;
    to->balance += amount;
    return ACCEPTED;
}

static enum reason apply(struct cursor line)
{
    if (line.at == line.end || *line.at == '#')
        return ACCEPTED;
    if (take_word(&line, "open "))
        return open_account(&line);
    if (take_word(&line, "pay "))
        return pay(&line);
    return MALFORMED;
}

int main(void)
{
    const uint8_t *at = lvm_input.bytes, *end = at + lvm_input.length;
    uint32_t line_number = 0;
    while (at != end) {
        struct cursor line = {at, at};
        while (line.end != end && *line.end != '\n')
            line.end++;
        line_number++;
        enum reason reason = apply(line);
        if (reason != ACCEPTED)
            return (int)(line_number << 8 | reason);
        at = line.end == end ? end : line.end + 1;
    }
    for (uint32_t i = 0; i < account_count; i++) {
        uint32_t length = 0;
        while (accounts[i].name[length] != 0)
            length++;
        if (lvm_write(accounts[i].name, length) || lvm_write(" ", 1) || lvm_write_decimal(accounts[i].balance)
            || lvm_write("\n", 1)) {
            lvm_output.length = 0;
            return (int)(line_number << 8 | OUTPUT_FULL);
        }
    }
    return 0;
}
