"""The graph of one set-up: every transaction that can be part of it, and its hash.

    Fund ─ slot_c ─┬─ Claim ─ bond ─┬─ Payout (with all connectors), LatePayout
                   │   │            └─ Slash*
                   │   └─ next ─ Claim#2 …
                   └─ Withdraw
    Claim.connector_i + Fund.stake_i ─ Challenge ─ Choice_1 ─ Reveal_2 ─ Choice_2 … Choice_m ─ Step
                                         │           └ S       │           └ S         └ S
                                         ├ T                   ├ T
                                         └ side ┐              └ side ┐

    side path at every level    Demand_r ─ Outline_r ─ Pick_r ─ Detail_r        with choice_due of the level: S, T;
                                  └ S        └ T        └ S       └ T           Sweep: alone

    Step ─┬─ S                                                 by a proof
          ├─ T
          ├─ Compare_left, Compare_right ─┬─ S                 by a proof
          │                               └─ T
          └─ Ask ─┬─ Path ─┬─ Descend ─┬─ Inside ─┬─ Narrow ─┬─ Close ─┬─ Refute_after_Close ─ S
                  ├ S      ├ T         ├ S        ├ T        ├ S       ├ S by a proof
                  └ D      └ S         └ D        ├ S        └ D       └ T
                             by a proof           ├ by a proof
                                                  └ Refute_after_Inside ─ S
    S  Slash_after_*, Reclaim_after_*: the challenger wins       T  TakeStake_after_*, D  Dismiss_*: the prover wins

Every claim of the set-up has all of it but Fund, and every challenger a game in every claim. Two parties with the same
set-up data build the same graph, compare its hash, and sign.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from bitvm.graph import (
    challenge,
    choice,
    claim,
    compare,
    fund,
    path,
    path_due,
    payout,
    refute,
    reveal,
    side,
    slash,
    step,
    take_stake,
    verdict_due,
)
from bitvm.graph.answer_due import ANSWER_DUE
from bitvm.graph.choice_due import CHOICE_DUE
from bitvm.graph.compare import COMPARE_DUE
from bitvm.graph.model import COVENANT, GraphError, Input, Template, full_name
from bitvm.graph.refute import PROVEN
from bitvm.graph.setting import GameView, Setting
from bitvm.graph.side_due import ANSWERED, DETAIL_DUE, OUTLINE_DUE, PICK_DUE, SIDE
from bitvm.graph.verdict_due import VERDICT_DUE

FUND = "Fund"


@dataclass(frozen=True, slots=True)
class SignatureSlot:
    """A Schnorr signature of the graph: who signs which input of which template through which leaf."""

    party: str
    template: str
    index: int
    leaf: str


@dataclass(frozen=True)
class Graph:
    """All templates of a set-up by name, parents before children."""

    setting: Setting
    templates: Mapping[str, Template] = field(repr=False)

    def __getitem__(self, name: str) -> Template:
        """Return a template by name; raises GraphError."""
        try:
            return self.templates[name]
        except KeyError:
            raise GraphError(f"no transaction {name!r} in the graph") from None

    def claim(self, number: int) -> ClaimGraph:
        """Return one claim's part of the graph, 1..claims; raises GraphError."""
        try:
            return self._claims[number]
        except KeyError:
            raise GraphError(f"no claim {number} in the graph; there are {len(self._claims)}") from None

    @cached_property
    def _claims(self) -> Mapping[int, ClaimGraph]:
        return {number: ClaimGraph(self, number) for number in range(1, self.setting.parameters.claims + 1)}

    def by_txid(self) -> dict[bytes, Template]:
        """Return the templates by transaction id."""
        return {template.txid: template for template in self.templates.values()}

    def hash(self) -> bytes:
        """Return 32 bytes that commit to parameters, every template and every leaf script."""
        digest = hashlib.sha256(self.setting.parameters.canonical())
        for name, template in self.templates.items():
            digest.update(name.encode() + b"\0" + template.txid)
        return digest.digest()

    def signature_slots(self) -> Iterator[SignatureSlot]:
        """Yield every Schnorr signature that templates need before their mover moves, in a fixed order.

        The mover of a template signs when it moves; everybody else at set-up.
        """
        for template in self.templates.values():
            for index, spent in enumerate(template.inputs):
                if not isinstance(spent, Input):
                    continue
                for name in spent.leaves:
                    for party in spent.leaf(name).signers:
                        if party != template.mover:
                            yield SignatureSlot(party, template.name, index, name)


@dataclass(frozen=True)
class ClaimGraph:
    """One claim's part of a graph, and Fund, by plain names."""

    graph: Graph
    claim: int

    def __getitem__(self, plain: str) -> Template:
        """Return a template by its plain name; raises GraphError."""
        return self.graph[plain if plain == FUND else full_name(plain, self.claim)]

    @property
    def setting(self) -> Setting:
        """What the whole graph is built from."""
        return self.graph.setting

    def names(self) -> tuple[str, ...]:
        """Return the plain names, parents before children."""
        return tuple(t.plain for t in self.graph.templates.values() if t.claim == self.claim or t.plain == FUND)


@lru_cache(maxsize=2)
def build(setting: Setting) -> Graph:
    """Build the graph; raises GraphError. Parties of one set-up in one process share it."""
    views = [setting.claim_view(number) for number in range(1, setting.parameters.claims + 1)]
    funded = fund.build(setting, [claim.leaves(view) for view in views])
    templates, before = [funded], None
    for view in views:
        claimed = claim.build(view, funded, before)
        templates += [claim.build_withdraw(view, funded), claimed]
        templates += [payout.build(view, claimed), payout.build_late(view, claimed)]
        for number in range(1, setting.parameters.challengers + 1):
            templates += _Game(view.game(number), funded, claimed).build()
        before = claimed
    named = {template.name: template for template in templates}
    if len(named) != len(templates):
        raise GraphError("two transactions have one name")
    return Graph(setting, named)


class _Game:
    """Builds all transactions of one game."""

    def __init__(self, game: GameView, funded: Template, claimed: Template) -> None:
        self._game, self._funded, self._claimed = game, funded, claimed
        self._templates: list[Template] = []

    def build(self) -> list[Template]:
        """Return the transactions, parents before children."""
        game, last = self._game, self._game.parameters.levels
        opener = self._keep(challenge.build(game, self._funded, self._claimed))
        after = "Challenge"
        for level in range(1, last + 1):
            self._take_stake(after, (opener, CHOICE_DUE), (opener, SIDE))
            self._side_path(level, opener)
            chosen = self._keep(choice.build(game, level, opener))
            self._slash_by_timeout(f"Choice_{level}", (chosen, ANSWER_DUE))
            if level < last:
                opener, after = self._keep(reveal.build(game, level + 1, chosen)), f"Reveal_{level + 1}"
        self._after_step(self._keep(step.build(game, chosen)))
        return self._templates

    def _side_path(self, level: int, opener: Template) -> None:
        game, owed = self._game, (opener, CHOICE_DUE)
        demand = self._keep(side.build_demand(game, level, opener))
        self._slash_by_timeout(f"Demand_{level}", (demand, OUTLINE_DUE), owed)
        outline = self._keep(side.build_outline(game, level, demand))
        self._take_stake(f"Outline_{level}", owed, (outline, PICK_DUE))
        pick = self._keep(side.build_pick(game, level, outline))
        self._slash_by_timeout(f"Pick_{level}", (pick, DETAIL_DUE), owed)
        detail = self._keep(side.build_detail(game, level, pick))
        self._take_stake(f"Detail_{level}", owed, (detail, ANSWERED))
        ends = (opener, SIDE), (demand, OUTLINE_DUE), (outline, PICK_DUE), (pick, DETAIL_DUE), (detail, ANSWERED)
        for source, output in ends:
            self._keep(side.build_sweep(game, level, source, output))

    def _after_step(self, stepped: Template) -> None:
        game = self._game
        self._take_stake("Step", (stepped, VERDICT_DUE))
        winning = tuple(leaf.name for leaf in verdict_due.winning_leaves(game))
        self._slash("", Input(stepped, VERDICT_DUE, winning))
        for page in compare.SIDES:
            compared, after = self._keep(compare.build(game, page, stepped)), f"Compare_{page}"
            self._take_stake(after, (compared, COMPARE_DUE))
            self._slash(after, Input(compared, COMPARE_DUE, tuple(proof.name for proof in compare.proofs(game, page))))
        self._path(self._keep(path.build_ask(game, stepped)))

    def _path(self, asked: Template) -> None:
        """All that follows Ask."""
        game, previous = self._game, asked
        for question, answer in take_stake.DISMISSED.items():
            owes, owed = path.MOVES[answer]
            if question != "Ask":
                previous = self._keep(path.build(game, question, previous))
            self._slash_by_timeout(question, (previous, owes))
            self._keep(take_stake.build_dismiss(game, question, previous))
            previous = self._keep(path.build(game, answer, previous))
            self._take_stake(answer, (previous, owed))
            proofs = path_due.spending(game, owed)
            self._slash(answer, Input(previous, owed, proofs.leaf_names()))
            if proofs.leaf_names(large=True):
                refuted = self._keep(refute.build(game, previous, answer))
                self._slash(f"Refute_after_{answer}", Input(refuted, PROVEN, (COVENANT,)))

    def _keep(self, template: Template) -> Template:
        self._templates.append(template)
        return template

    def _take_stake(self, after: str, *owed: tuple[Template, str]) -> None:
        self._keep(take_stake.build(self._game, after, owed))

    def _slash_by_timeout(self, after: str, silent: tuple[Template, str], *owed: tuple[Template, str]) -> None:
        """The output that ``silent`` left, after its lock, and others that come with it."""
        inputs = [Input(*silent, (COVENANT,), self._game.parameters.delta)]
        self._slash(after, *inputs, *(Input(*other, (COVENANT,)) for other in owed))

    def _slash(self, after: str, *won: Input) -> None:
        for template in slash.build(self._game, after, won, self._claimed):
            self._keep(template)
