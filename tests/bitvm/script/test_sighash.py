"""BIP341's signature message against its vectors, bitcoin-utils and Core's engine."""

import pytest
from bitcoin.core import COutPoint, CScript, CTransaction, CTxIn, CTxInWitness, CTxOut, CTxWitness, x
from bitcoin.core.script import OP_CHECKSIG, OP_CODESEPARATOR, OP_NOP, CScriptWitness
from bitcoinutils.script import Script
from bitcoinutils.transactions import Transaction
from coincurve import PrivateKey

from bitvm.script.engine import verify_input
from bitvm.script.sighash import HASH_TYPES, SighashError, SighashMaker, taproot_sighash
from bitvm.script.taproot import TapLeaf, TapTree, leaf_hash, tagged_hash

# BIP341, wallet-test-vectors.json, keyPathSpending.
UNSIGNED = CTransaction.deserialize(
    x(
        "02000000097de20cbff686da83a54981d2b9bab3586f4ca7e48f57f5b55963115f3b334e9c010000000000000000d7b7cab57b1393ace2d0"
        "64f4d4a2cb8af6def61273e127517d44759b6dafdd990000000000fffffffff8e1f583384333689228c5d28eac13366be082dc57441760d9"
        "57275419a418420000000000fffffffff0689180aa63b30cb162a73c6d2a38b7eeda2a83ece74310fda0843ad604853b0100000000feffff"
        "ffaa5202bdf6d8ccd2ee0f0202afbbb7461d9264a25e5bfd3c5a52ee1239e0ba6c0000000000feffffff956149bdc66faa968eb2be2d2faa"
        "29718acbfe3941215893a2a3446d32acd050000000000000000000e664b9773b88c09c32cb70a2a3e4da0ced63b7ba3b22f848531bbb1d5d"
        "5f4c94010000000000000000e9aa6b8e6c9de67619e6a3924ae25696bb7b694bb677a632a74ef7eadfd4eabf0000000000ffffffffa778eb"
        "6a263dc090464cd125c466b5a99667720b1c110468831d058aa1b82af10100000000ffffffff0200ca9a3b000000001976a91406afd46bcd"
        "fd22ef94ac122aa11f241244a37ecc88ac807840cb0000000020ac9a87f5594be208f8532db38cff670c450ed2fea8fcdefcc9a663f78bab"
        "962b0065cd1d"
    )
)
SPENT = [
    CTxOut(amount, CScript(x(script)))
    for amount, script in [
        (420000000, "512053a1f6e454df1aa2776a2814a721372d6258050de330b3c6d10ee8f4e0dda343"),
        (462000000, "5120147c9c57132f6e7ecddba9800bb0c4449251c92a1e60371ee77557b6620f3ea3"),
        (294000000, "76a914751e76e8199196d454941c45d1b3a323f1433bd688ac"),
        (504000000, "5120e4d810fd50586274face62b8a807eb9719cef49c04177cc6b76a9a4251d5450e"),
        (630000000, "512091b64d5324723a985170e4dc5a0f84c041804f2cd12660fa5dec09fc21783605"),
        (378000000, "00147dd65592d0ab2fe0d0257d571abf032cd9db93dc"),
        (672000000, "512075169f4001aa68f15bbed28b218df1d0a62cbbcf1188c6665110c293c907b831"),
        (546000000, "5120712447206d7a5238acc7ff53fbe94a3b64539ad291c7cdbc490b7577e4b17df5"),
        (588000000, "512077e30a5522dd9f894c3f8b8bd4c4b2cf82ca7da8a3ea6a239655c39c050ab220"),
    ]
]
VECTORS = [
    (0, 0x03, "2514a6272f85cfa0f45eb907fcb0d121b808ed37c6ea160a5a9046ed5526d555"),
    (1, 0x83, "325a644af47e8a5a2591cda0ab0723978537318f10e6a63d4eed783b96a71a4d"),
    (3, 0x01, "bf013ea93474aa67815b1b6cc441d23b64fa310911d991e713cd34c7f5d46669"),
    (4, 0x00, "4f900a0bae3f1446fd48490c2958b5a023228f01661cda3496a11da502a7f7ef"),
    (6, 0x02, "15f25c298eb5cdc7eb1d638dd2d45c97c4c59dcaec6679cfc16ad84f30876b85"),
    (7, 0x82, "cd292de50313804dabe4685e83f923d2969577191a3e1d2882220dca88cbeb10"),
    (8, 0x81, "cccb739eca6c13a8a89e6e5cd317ffe55669bbda23f2fd37b0f18755e008edd2"),
]

KEY = PrivateKey(b"\x16" * 32)
PUBLIC = KEY.public_key_xonly.format()
LEAF = b"\x20" + PUBLIC + bytes([OP_CHECKSIG])
TREE = TapTree([TapLeaf("sign", LEAF), TapLeaf("other", b"\x51")], internal_key=PUBLIC)


def tweaked_key(tree: TapTree) -> PrivateKey:
    """Return the secret key of the output; KEY's own point has an even y."""
    return KEY.add(tagged_hash("TapTweak", PUBLIC, tree.root))


@pytest.mark.parametrize(("index", "hash_type", "expected"), VECTORS)
def test_the_vectors_of_bip341(index, hash_type, expected):
    assert taproot_sighash(UNSIGNED, SPENT, index, hash_type=hash_type).hex() == expected


def test_one_maker_serves_all_inputs():
    maker = SighashMaker(UNSIGNED, SPENT)
    for index, hash_type, expected in VECTORS:
        assert maker.sighash(index, hash_type=hash_type).hex() == expected


# ---- under Core's engine


def with_witness(tx: CTransaction, index: int, witness: list[bytes]) -> CTransaction:
    stacks = [CTxInWitness(CScriptWitness(witness if n == index else [])) for n in range(len(tx.vin))]
    return CTransaction(tx.vin, tx.vout, tx.nLockTime, tx.nVersion, CTxWitness(stacks))


def game_transaction(version: int = 3) -> tuple[CTransaction, list[CTxOut]]:
    vin = [CTxIn(COutPoint(bytes([n]) * 32, n), nSequence=10 + n) for n in range(3)]
    vout = [CTxOut(1000 + n, CScript(b"\x51\x20" + bytes([n]) * 32)) for n in range(3)]
    spent = [CTxOut(5000, CScript(b"\x51")), CTxOut(6000, CScript(TREE.script_pubkey)), CTxOut(7000, CScript(b"\x52"))]
    return CTransaction(vin, vout, 77, version), spent


@pytest.mark.parametrize("hash_type", sorted(HASH_TYPES))
@pytest.mark.parametrize("in_leaf", [False, True])
def test_bitcoin_utils_agrees(hash_type, in_leaf):
    tx, spent = game_transaction()  # scripts of known opcodes: it garbles others
    theirs = Transaction.from_raw(tx.serialize().hex())
    scripts = [Script.from_raw(bytes(output.scriptPubKey).hex()) for output in spent]
    leaf = Script([PUBLIC.hex(), "OP_CHECKSIG"])
    expected = theirs.get_transaction_taproot_digest(
        1, scripts, [output.nValue for output in spent], int(in_leaf), leaf if in_leaf else None, sighash=hash_type
    )
    ours = taproot_sighash(tx, spent, 1, leaf_hash=leaf_hash(LEAF) if in_leaf else None, hash_type=hash_type)
    assert ours == expected


def signed(
    tx: CTransaction, spent: list[CTxOut], hash_type: int, *, in_leaf: bool, annex: bytes | None = None
) -> list[bytes]:
    message = taproot_sighash(
        tx, spent, 1, leaf_hash=leaf_hash(LEAF) if in_leaf else None, hash_type=hash_type, annex=annex
    )
    signature = (KEY if in_leaf else tweaked_key(TREE)).sign_schnorr(message)
    signature += bytes([hash_type]) if hash_type else b""
    witness = TREE.witness("sign", [signature]) if in_leaf else [signature]
    return witness if annex is None else [*witness, annex]


def changed(tx: CTransaction, spent: list[CTxOut], part: str) -> tuple[CTransaction, list[CTxOut]]:
    """Return the transaction with one part changed that some hash types sign and others do not."""
    vin, vout, locktime, version, spent = list(tx.vin), list(tx.vout), tx.nLockTime, tx.nVersion, list(spent)
    match part.split():
        case ["version"]:
            version = 2
        case ["locktime"]:
            locktime += 1
        case ["outpoint", n]:
            vin[int(n)] = CTxIn(COutPoint(b"\xee" * 32, 9), nSequence=vin[int(n)].nSequence)
        case ["sequence", n]:
            vin[int(n)] = CTxIn(vin[int(n)].prevout, nSequence=99)
        case ["amount", n]:
            spent[int(n)] = CTxOut(spent[int(n)].nValue + 1, spent[int(n)].scriptPubKey)
        case ["script", n]:
            spent[int(n)] = CTxOut(spent[int(n)].nValue, CScript(b"\x53"))
        case ["output", n]:
            vout[int(n)] = CTxOut(1, CScript(b"\x6a"))
        case ["more", "outputs"]:
            vout.append(CTxOut(0, CScript(b"\x6a")))
        case ["more", "inputs"]:
            vin.append(CTxIn(COutPoint(b"\xdd" * 32, 0)))
            spent.append(CTxOut(1, CScript(b"\x51")))
    return CTransaction(vin, vout, locktime, version), spent


PARTS = [
    "nothing", "version", "locktime", "outpoint 0", "outpoint 1", "sequence 0", "sequence 1", "amount 0", "amount 1",
    "script 0", "output 0", "output 1", "more outputs", "more inputs",
]  # fmt: skip


@pytest.mark.parametrize("hash_type", sorted(HASH_TYPES))
@pytest.mark.parametrize("in_leaf", [False, True])
def test_a_signature_holds_exactly_while_the_message_is_the_same(hash_type, in_leaf):
    tx, spent = game_transaction()
    leaf = leaf_hash(LEAF) if in_leaf else None
    message = taproot_sighash(tx, spent, 1, leaf_hash=leaf, hash_type=hash_type)
    witness = signed(tx, spent, hash_type, in_leaf=in_leaf)
    verdicts = {}
    for part in PARTS:
        other, other_spent = changed(tx, spent, part)
        verdicts[part] = verify_input(with_witness(other, 1, witness), 1, other_spent)
        same = taproot_sighash(other, other_spent, 1, leaf_hash=leaf, hash_type=hash_type) == message
        assert verdicts[part] == same, part
    assert verdicts["nothing"]
    assert not verdicts["version"]
    assert verdicts["outpoint 0"] == bool(hash_type & 0x80)
    assert verdicts["more outputs"] == (hash_type & 3 in (2, 3))
    assert verdicts["output 1"] == (hash_type & 3 == 2)


@pytest.mark.parametrize("version", [1, 2, 3, 2**31 - 1, -1])
def test_every_version(version):
    tx, spent = game_transaction(version)
    assert verify_input(with_witness(tx, 1, signed(tx, spent, 0, in_leaf=True)), 1, spent)


@pytest.mark.parametrize("annex", [b"\x50", b"\x50" + b"a" * 300])
@pytest.mark.parametrize("in_leaf", [False, True])
def test_an_annex_is_signed(annex, in_leaf):
    tx, spent = game_transaction()
    witness = signed(tx, spent, 0, in_leaf=in_leaf, annex=annex)
    assert verify_input(with_witness(tx, 1, witness), 1, spent)
    assert not verify_input(with_witness(tx, 1, [*witness[:-1], annex + b"."]), 1, spent)
    assert not verify_input(with_witness(tx, 1, witness[:-1]), 1, spent)


def test_the_last_code_separator_is_signed():
    script = bytes([OP_NOP, OP_CODESEPARATOR]) + LEAF  # opcode number 1
    tree = TapTree([TapLeaf("separated", script)])
    tx, spent = game_transaction()
    spent[1] = CTxOut(6000, CScript(tree.script_pubkey))
    for position in (0, 1, 2, 0xFFFFFFFF):
        message = taproot_sighash(tx, spent, 1, leaf_hash=leaf_hash(script), code_separator=position)
        witness = tree.witness("separated", [KEY.sign_schnorr(message)])
        assert verify_input(with_witness(tx, 1, witness), 1, spent) == (position == 1)


def test_a_signature_serves_one_leaf_only():
    twin = LEAF + bytes([OP_NOP])
    tree = TapTree([TapLeaf("sign", LEAF), TapLeaf("twin", twin)])
    tx, spent = game_transaction()
    spent[1] = CTxOut(6000, CScript(tree.script_pubkey))
    signature = KEY.sign_schnorr(taproot_sighash(tx, spent, 1, leaf_hash=tree.leaf_hash("sign")))
    assert verify_input(with_witness(tx, 1, tree.witness("sign", [signature])), 1, spent)
    assert not verify_input(with_witness(tx, 1, tree.witness("twin", [signature])), 1, spent)


@pytest.mark.parametrize(
    ("index", "keywords", "words"),
    [
        (-1, {}, "no input -1"),
        (9, {}, "no input 9"),
        (0, {"hash_type": 0x80}, "hash type 0x80"),
        (0, {"hash_type": 0x04}, "hash type 0x4"),
        (0, {"hash_type": 0x100}, "hash type 0x100"),
        (2, {"hash_type": 0x03}, "2 outputs"),
        (2, {"hash_type": 0x83}, "2 outputs"),
        (0, {"leaf_hash": b"\x00" * 31}, "31"),
        (0, {"annex": b""}, "annex"),
        (0, {"annex": b"\x51"}, "annex"),
    ],
)
def test_nothing_to_sign(index, keywords, words):
    with pytest.raises(SighashError, match=words):
        taproot_sighash(UNSIGNED, SPENT, index, **keywords)


def test_every_spent_output_is_needed():
    with pytest.raises(SighashError, match="9 inputs, but 8"):
        taproot_sighash(UNSIGNED, SPENT[:-1], 0, hash_type=0x81)
