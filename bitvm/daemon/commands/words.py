"""What a confirmed transaction of a game said, in words: read from its witness, judged by nobody."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bitvm.daemon.commands.outlook import short_name
from bitvm.game.position import Position
from bitvm.game.trace_list import interval_start, trace_root
from bitvm.graph.graph import FUND
from bitvm.graph.model import Input, Template
from bitvm.leaves.authority import WitnessError
from bitvm.leaves.execution.catalogue import EXECUTION_LEAVES
from bitvm.leaves.fields import Kind
from bitvm.leaves.proof import ProofLeaf
from bitvm.script.taproot import TaprootError
from lvm.trace import instruction_name

_COVENANTS = {
    "Payout": "nobody challenged in time: the prover has its bond back",
    "LatePayout": "nobody slashed the bond in time: the prover has it back",
    "Withdraw": "the slot goes back to the prover",
    "Challenge": "puts the stake against the claim",
}
_ROOT_DIGITS = 16


def words_of_transaction(position: Position, template: Template) -> str:
    """Return what a confirmed transaction said; where it cannot be read, that."""
    at = position.at_claim(template.claim)
    name = short_name(template.plain)
    if template.plain == FUND:
        return "locks the bonds and the stakes"
    if name in _COVENANTS:
        return _COVENANTS[name]
    try:
        return _said(at, template, name)
    except (WitnessError, TaprootError) as error:
        return f"cannot be read: {error}"


def _said(at: Position, template: Template, name: str) -> str:
    kind, _, level = name.rpartition("_")
    if name == "Claim":
        return _claim(at)
    if name == "Step":
        return _step(at, _game(template))
    if kind in ("Choice", "Reveal", "Demand", "Outline", "Pick", "Detail"):
        return _LEVELS[kind](at, _game(template), int(level))
    if name.startswith("Sweep"):
        return "takes back the side money of a level"
    if name in _QUESTIONS:
        words = at.said(_game(template)).words
        return _QUESTIONS[name](words)
    proof = _proof(at, template)
    if proof:
        return f"proves: {proof}"
    after = name.partition("_after_")[2]
    return f"no answer to {after} came in time" if after else ""


def _game(template: Template) -> int:
    return int(template.plain.partition("/")[0])


def _root(node: bytes | None) -> str:
    return "no node at all" if node is None else f"{node.hex()[:_ROOT_DIGITS]}…"


def _claim(at: Position) -> str:
    nodes = at.claim().nodes
    return f"the run on input {_root(nodes['input_root'])} ends in state {_root(nodes['final_root'])}"


def _choice(at: Position, number: int, level: int) -> str:
    parameters = at.graph.setting.parameters
    choices = [at.choice(number, r).choice for r in range(1, level + 1)]
    left = interval_start(choices, parameters.width, parameters.levels)
    return f"agrees at step {left:,}, not at step {left + parameters.interval(level):,}"


def _reveal(at: Position, number: int, level: int) -> str:
    shown = at.reveal(number, level)
    matches = trace_root(shown.listed) == shown.nodes["trace_root"]
    return f"shows list {level}" if matches else f"shows a list {level} that does not hash to its root"


def _step(at: Position, number: int) -> str:
    said = at.step(number)
    name = instruction_name(said.words["instr"]) or "an illegal instruction"
    return f"step {said.index:,} is {name} at pc {said.words['pc']:#x}"


_LEVELS: Mapping[str, Callable[[Position, int, int], str]] = {
    "Choice": _choice,
    "Reveal": _reveal,
    "Demand": lambda _, __, level: f"wants list {level} signed",
    "Outline": lambda _, __, level: f"signs the outline of list {level}",
    "Pick": lambda at, number, level: f"wants group {at.said(number).words[f'pick_{level}.group']} of list {level}",
    "Detail": lambda _, __, level: f"signs that group of list {level}",
}
_QUESTIONS: Mapping[str, Callable[[Mapping[str, int]], str]] = {
    "Ask": lambda words: f"wants the proof of {Kind(words['ask.kind']).name}",
    "Path": lambda _: "signs nodes of the path",
    "Descend": lambda words: f"wants the nodes of gap {words['descend.gap']}",
    "Inside": lambda _: "signs the nodes inside",
    "Narrow": lambda words: f"wants the nodes of gap {words['narrow.gap']} inside",
    "Close": lambda _: "signs the rest",
    "Compare_left": lambda _: "compares the state before with the signed point",
    "Compare_right": lambda _: "compares the state after with the signed point",
}
_STATEMENTS = {leaf.name: leaf.statement for leaf in EXECUTION_LEAVES}


def _proof(at: Position, template: Template) -> str:
    """Return what the leaf proves through which a transaction spends its first input; empty for a covenant."""
    seen, spent = at.confirmed.get(template.name), template.inputs[0]
    tree = spent.source.output(spent.output).tree if isinstance(spent, Input) else None
    if seen is None or tree is None or not isinstance(spent, Input):
        return ""
    stack = [bytes(item) for item in seen.transaction.wit.vtxinwit[0].scriptWitness.stack]
    found, _ = tree.read_witness(stack)
    leaf = spent.leaf(found.name)
    if isinstance(leaf, ProofLeaf):
        return leaf.proof.statement
    return _STATEMENTS.get(found.name, "")
