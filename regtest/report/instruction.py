"""The disputed instruction: what the prover signed beside what is true, and the leaf that judged it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bitvm.leaves.execution.frame import body_script
from bitvm.pages.markup import Child, Markup, element
from bitvm.script.listing import listing
from lvm import isa
from lvm.outcome import Outcome
from regtest.report.assembly import disassemble, place
from regtest.report.facts import DisputedStep, VerdictLeaf

OPERANDS: Mapping[str, str] = {
    "pc": "pc",
    "instr": "instruction word",
    "rs1": "rs1",
    "rs2": "rs2",
    "address": "address of a load or store",
    "mem": "memory word there",
    "outcome": "outcome",
    "written": "word written",
    "next_pc": "next pc",
}
"""The words of a step that are always shown, with what they are."""

SOURCES = {"rs1": 15, "rs2": 20}
"""Lowest bit of the register numbers in an instruction word."""

EXIT_CODE_REGISTER = 10
"""What an ECALL reads as rs1 (`lvm.record`)."""


def describe(step: DisputedStep) -> Markup:
    """Return the instruction in assembly language, the table of its words, and the control words folded away."""
    record, wrong = step.record, step.wrong()
    others = [name for name in step.claimed if name not in OPERANDS]
    shown = [*OPERANDS, *(name for name in others if name in wrong)]
    quiet = [name for name in others if name not in wrong]
    return element(
        "div",
        element("p", element("code", disassemble(record.instr, record.pc)), class_="assembly"),
        _table(step, shown),
        element(
            "details",
            element("summary", f"{len(quiet)} control words before and after, all true"),
            _table(step, quiet),
        ),
    )


def _table(step: DisputedStep, names: list[str]) -> Markup:
    head = element("tr", [element("th", name, scope="col") for name in ("", "signed by the prover", "true")])
    rows = []
    for name in names:
        claimed, true = step.claimed[name], step.true[name]
        wrong = claimed != true
        rows.append(
            element(
                "tr",
                element("th", _meaning(step, name), scope="row"),
                element(
                    "td",
                    _word(name, claimed),
                    element("span", " ✗ false", class_="mark") if wrong else None,
                    class_="said",
                ),
                element("td", _word(name, true)),
                class_="wrong" if wrong else None,
            )
        )
    return element("div", element("table", element("thead", head), element("tbody", rows)), class_="scroll words")


def _meaning(step: DisputedStep, name: str) -> str:
    if name not in OPERANDS:
        return name.removeprefix("after_").replace("_", " ") + (", after" if name.startswith("after_") else ", before")
    if name == "written":
        address = _write_address(step)
        return f"word written to {place(address)}" if address is not None else "word written (none: 0)"
    if name in SOURCES:
        ecall = name == "rs1" and step.record.instr == isa.ECALL_WORD
        return f"{name}, from x{EXIT_CODE_REGISTER if ecall else step.record.instr >> SOURCES[name] & 31}"
    return OPERANDS[name]


def _write_address(step: DisputedStep) -> int | None:
    """Return where the step, as the prover tells it, writes; else where it truly does."""
    outcome = step.claimed["outcome"]
    if outcome in list(Outcome):
        told = replace(step.record, outcome=Outcome(outcome), address=step.claimed["address"])
        return told.write_address if told.write_address is not None else step.record.write_address
    return step.record.write_address


def _word(name: str, value: int) -> Child:
    if name == "outcome":
        known = value in list(Outcome)
        return element("code", Outcome(value).name if known else f"{value}: no outcome")
    if name.removeprefix("after_") in {"halted", "exit_code"}:
        return element("code", str(value))
    return [element("code", f"{value:#010x}"), element("span", f" {value:,}", class_="decimal")]


def judge(leaf: VerdictLeaf) -> Markup:
    """Return what is known of the leaf that judged the step."""
    facts: list[tuple[str, Child]] = [
        ("Leaf", element("code", leaf.leaf.name)),
        ("It accepts only if", leaf.leaf.statement),
        ("Opens the signed words", ", ".join(leaf.leaf.groups)),
        ("Script", f"{leaf.script_bytes:,} bytes, {leaf.body_bytes:,} of them without signatures and keys"),
        ("Whole witness", f"{leaf.weight:,} weight units"),
    ]
    if leaf.bitvmx_bytes is not None:
        facts.append(("BitVMX's leaf for it", f"{leaf.bitvmx_bytes:,} bytes without signatures"))
    rows = [[element("dt", name), element("dd", value)] for name, value in facts]
    code = "\n".join(listing(body_script(leaf.leaf)))
    note = "On the stack lie the nibbles of the words that it opens, on the alt stack the challenger's hints."
    script = element("details", element("summary", "Read its Script"), element("p", note), element("pre", code))
    return element("div", element("dl", rows, class_="facts"), script)
